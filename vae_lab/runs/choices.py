"""The options of which a result is made, such as estimator=rloo, told from its settings."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from vae_lab.config.options import groups, option_file, options_of
from vae_lab.runs.names import FROZEN
from vae_lab.runs.signature import Flat, by_name, flatten

ROOTS = ("dataset", "model", "estimator", "noise", "optimizer")  # whose options say what a result is of
WEIGHT_OF_CLASS = 10  # beside a plain setting of 1


def choices_of(definition: Flat, directory: Path) -> dict[str, str]:
    """The option of each group, such as `{"estimator": "rloo", "model/posterior": "gaussian"}`.

    An option is the one that was typed, if its class is that of the result; else, of those with this class,
    the one whose settings the result shares most. A class of which there is no option stands for itself.

    Args:
        definition: The settings that define the result.
        directory: Where the overrides of the run are.
    """
    typed = _typed(directory)
    roots = [name for name in ROOTS if f"{name}._target_" in definition]
    inner = [name for name in groups() if "/" in name and name.partition("/")[0] in roots]
    choices = {name: _choice(name, definition, typed.get(name)) for name in (*roots, *inner)}
    return {name: choice for name, choice in choices.items() if choice is not None}


def place_of(group: str) -> str:
    """The key of a group's node.

    Example:
        >>> place_of("model/posterior")
        'model.posterior'
    """
    return group.replace("/", ".")


def _choice(group: str, definition: Flat, typed: str | None) -> str | None:
    place = f"{place_of(group)}."
    own = {key.removeprefix(place): value for key, value in definition.items() if key.startswith(place)}
    if not isinstance(target := own.get("_target_"), str):
        return None
    options = {
        name: flat for name in options_of(group) if (flat := _settings(group, name)).get("_target_") == target
    }
    if typed in options:
        return typed
    return max(options, key=lambda name: _likeness(options[name], own), default=target.rpartition(".")[2])


def _likeness(option: Flat, own: Flat) -> int:
    """How many settings of an option a result shares, less those that it does not."""
    return sum(
        (WEIGHT_OF_CLASS if key.endswith("_target_") else 1) * (1 if own.get(key) == value else -1)
        for key, value in option.items()
    )


def _typed(directory: Path) -> dict[str, str]:
    """The values of the overrides from which a run was composed, by their keys."""
    words: Any = None
    with suppress(OSError, ValueError, yaml.YAMLError, RecursionError):
        words = yaml.safe_load((directory / FROZEN[1]).read_text())
    pairs = [str(word).partition("=") for word in words] if isinstance(words, list) else []
    return {key.lstrip("+"): value for key, _, value in pairs}


def _settings(group: str, option: str) -> Flat:
    """The settings of an option, by their keys inside its group."""
    return _composed(group, option_file(group, option))


@cache
def _composed(group: str, path: Path) -> Flat:
    """The settings in the file of an option, with those of the options of its parts."""
    node: Any = None
    with suppress(OSError, ValueError, yaml.YAMLError, RecursionError):
        node = yaml.safe_load(path.read_text())
    if not isinstance(node, dict):
        return {}
    own = flatten(by_name({key: value for key, value in node.items() if key != "defaults"}))
    defaults = node.get("defaults") or []
    flat: Flat = {}
    for entry in defaults if "_self_" in defaults else [*defaults, "_self_"]:
        if entry == "_self_":
            flat |= own
        elif isinstance(entry, str) and entry in options_of(group):
            flat |= _settings(group, entry)
        elif isinstance(entry, dict):
            flat = _with_parts(group, flat, entry)
    return flat


def _with_parts(group: str, flat: Flat, entry: dict[str, Any]) -> Flat:
    """Settings with those of the options that an entry of the defaults chooses, in place of any before."""
    for key, chosen in entry.items():
        part = str(key).removeprefix("override ")
        if "@" in part or part.startswith("/"):
            continue  # of another group
        kept = {name: value for name, value in flat.items() if not name.startswith(f"{part}.")}
        flat = kept | dict(_of_part(group, part, chosen if isinstance(chosen, list) else [chosen]))
    return flat


def _of_part(group: str, part: str, chosen: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    inner = f"{group}/{part}"
    for option in chosen:
        if option in options_of(inner):
            yield from ((f"{part}.{key}", value) for key, value in _settings(inner, option).items())
