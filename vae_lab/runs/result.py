"""The result of a run, and its file."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from vae_lab.errors import UserError
from vae_lab.files.writing import write_atomically
from vae_lab.runs.code import Code
from vae_lab.runs.names import EARLIER, RESULT
from vae_lab.runs.signature import Flat

TRAINING_ENTRIES = {  # in each result of one
    "signature", "estimator", "selection", "log_likelihood", "timing", "notes", "config",
}  # fmt: skip
AGAIN_HINT = "the same command repeats it, from the last checkpoint"


@dataclass(frozen=True, eq=False)
class Result(Mapping[str, Any]):
    """The `metrics.json` of a command; a mapping of all its entries, in their order.

    Args:
        metrics: By name.
        signature: Of the run.
        definition: The values that define the result.
        config: The whole configuration, flattened.
        notes: Caveats.
        has_density: Whether the model is trained as a p(x), as all but autoencoders are.
        checkpoints: Those that were measured, with their checksums.
        provenance: Versions, device and threads.
        code: The sources behind it; None in results of earlier versions.
        packages: The version of every package that was installed.
        own: What the command has beside.
        order: The names of the entries in the order of the file.
    """

    metrics: dict[str, float]
    signature: str = ""
    definition: Flat = field(default_factory=dict)
    config: Flat = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    has_density: bool = True
    checkpoints: dict[str, str] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    code: Code | None = None
    packages: dict[str, str] = field(default_factory=dict)
    own: dict[str, Any] = field(default_factory=dict)
    order: tuple[str, ...] = ()

    @classmethod
    def of(cls, entries: Mapping[str, Any]) -> "Result":
        """The result with these entries.

        Raises:
            ValueError: If one of them is of another kind than it is written in.
        """
        if not _is_whole(entries):
            raise ValueError("the entries are not of the kinds that a result has")
        known = {name: entries[name] for name in COMMON if entries.get(name) is not None}
        own = {name: value for name, value in entries.items() if name not in known}
        known.setdefault("has_density", _had_density(entries))
        return cls(**known, own=own, order=tuple(entries))

    def __getitem__(self, name: str) -> Any:
        if name not in self.order:
            raise KeyError(name)
        return self.own[name] if name in self.own else getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.order)

    def __len__(self) -> int:
        return len(self.order)

    def __or__(self, entries: Mapping[str, Any]) -> "Result":
        """The result with these entries in place of its own, or after them."""
        return Result.of(dict(self) | dict(entries))

    def write(self, directory: Path) -> None:
        """Writes the file by rename."""
        text = json.dumps(dict(self), indent=2, allow_nan=True)
        write_atomically(directory / RESULT, text + "\n")


COMMON = [each.name for each in fields(Result) if each.name not in ("own", "order")]


def result_of(directory: Path) -> Result:
    """The result of a finished run.

    Raises:
        UserError: If the run is not finished, or the file is damaged.
    """
    path = directory / RESULT
    try:
        return Result.of(json.loads(path.read_bytes()))
    except (FileNotFoundError, NotADirectoryError) as error:
        aside = directory / EARLIER
        hint = f"; {aside} has its earlier result" if (aside / RESULT).is_file() else ""
        raise UserError(f"{directory} is not the directory of a finished run{hint}.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from error
    except (ValueError, RecursionError):
        raise UserError(f"{path} is damaged; {AGAIN_HINT}.") from None


def is_finished(directory: Path) -> bool:
    """Whether a run's result is there, and not damaged."""
    with suppress(UserError):
        result_of(directory)
        return True
    return False


def _had_density(entries: Mapping[str, Any]) -> bool:
    """Whether the model of a result of before, which does not say so, is trained as a p(x)."""
    return entries.get("selection") != "reconstruction"


def _is_whole(entries: Any) -> bool:
    """Whether these are a result's entries, of the kinds that they are written in."""
    if not isinstance(entries, Mapping) or not isinstance(entries.get("metrics"), dict):
        return False
    maps = ("definition", "config", "code", "packages", "provenance", "checkpoints")
    numbers = entries["metrics"].values()
    is_of_training = {"timing", "parameters"} & entries.keys()
    has_format = "format" in (entries.get("definition") or {})
    if is_of_training and has_format and not entries.keys() >= TRAINING_ENTRIES:
        return False
    return (
        all(isinstance(entries.get(name), dict | None) for name in maps)
        and all(isinstance(number, int | float | None) for number in numbers)
        and isinstance(entries.get("notes"), list | None)
        and isinstance(entries.get("has_density"), bool | None)
    )
