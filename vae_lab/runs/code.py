"""The code that made a result, and whether it is the code that there is now."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from omegaconf import DictConfig

from vae_lab.config.trust import moved
from vae_lab.runs import sources
from vae_lab.runs.signature import defining

UNKNOWN = "unknown"
NOTED_PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "pytorch-lightning", "torchvision", "zuko")
PROBE_MODULES = ("vae_lab.probe", "vae_lab.training.estimator_probe")
MAX_NAMED = 3  # sources that a message names

Code = dict[str, Any]


def code_of(*configs: DictConfig) -> Code:
    """The sources behind a result, and one hash of them all.

    Args:
        configs: Its configuration; that of its run too, if it is made of one.
    """
    own = configs[0]
    targets = {key: target for cfg in configs for key, target in _targets(defining(cfg))}
    if "run" in own and "_target_" in own:
        behind = sources.behind({"loading": "vae_lab.applications.run.carry_out"} | targets, PROBE_MODULES)
    elif "probe" in own:
        behind = sources.behind({"measurement": "vae_lab.applications.gradients.measure.measure"} | targets)
    elif "parts" in own:
        behind = sources.behind({"check": "vae_lab.applications.check.judge.judge"} | targets)
    else:
        behind = sources.behind({"training": "vae_lab.training.run.run"} | targets, PROBE_MODULES)
    hashes = {path: source["hash"] for path, source in sorted(behind.items())}
    digest = hashlib.sha256(json.dumps(hashes).encode()).hexdigest()[: sources.DIGITS]
    return {"hash": digest, "sources": dict(sorted(behind.items()))}


def continued(history: Sequence[Mapping[str, Any]] | None, samples: int, code: Code) -> list[dict[str, Any]]:
    """The hashes of the code of a run from sample to sample, as it goes on under this code.

    Args:
        history: So far; None if that was not recorded.
        samples: Where it goes on.
        code: Of now.
    """
    if samples == 0:
        return [{"samples": 0, "hash": code["hash"]}]
    so_far = [dict(entry) for entry in history or [{"samples": 0, "hash": UNKNOWN}]]
    same = so_far[-1]["hash"] == code["hash"]
    return so_far if same else [*so_far, {"samples": samples, "hash": code["hash"]}]


def name_of(code: Mapping[str, Any] | None) -> str:
    """The short hash of the code of a result; those of a mixture, in order."""
    if not code:
        return UNKNOWN
    return "+".join(each["hash"][:8] for each in code.get("history") or [code])


def of_a_mixture(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """A note on a run that went on under other code than it began with."""
    if len(history) < 2:
        return []
    first, *later = history
    words = "".join(f", then {each['hash'][:8]} from {each['samples']:,} samples on" for each in later)
    return [f"the code changed while the run was made: {first['hash'][:8]}{words}"]


def is_as_now(result: Mapping[str, Any]) -> bool:
    """Whether a result was made by the code that there is now, from its beginning to its end."""
    code = result.get("code")
    return code is not None and len(code.get("history", [])) < 2 and not changed(code)


def changed(code: Code | None) -> list[str]:
    """The sources that are others now than those that made a result, with their parts."""
    if code is None:
        return ["unknown code"]
    return [
        f"{source['part']} ({path}{'' if sources.hash_of(path) else ', which is not found'})"
        for path, source in code["sources"].items()
        if not sources.is_as(path, source)
    ]


def mixtures(codes: Mapping[str, Code | None]) -> list[str]:
    """Notes for the reader of a table on the code behind its results, given by their labels.

    Results of different parts have different sources; they mix code where one source has two hashes.
    """
    notes = []
    states: dict[str, dict[str, list[str]]] = {}
    for label, code in codes.items():
        for path, source in (code or {}).get("sources", {}).items():
            states.setdefault(path, {}).setdefault(source["hash"][:8], []).append(label)
    sources_by_run = [code["sources"] for code in codes.values() if code]
    parts = {path: source["part"] for by_path in sources_by_run for path, source in by_path.items()}
    mixed = [
        f"{parts[path]} ({path}: {', '.join(f'{name} in {_runs(runs)}' for name, runs in by_hash.items())})"
        for path, by_hash in states.items()
        if len(by_hash) > 1
    ]
    if mixed:
        notes.append(f"The runs mix code: {listed(mixed)}.")
    unknown = [label for label, code in codes.items() if code is None]
    if 0 < len(unknown) < len(codes):
        notes.append(f"The runs mix code: {UNKNOWN} in {_runs(unknown)}, made by an earlier version.")
    parted = [label for label, code in codes.items() if code and len(code.get("history", [])) > 1]
    if parted:
        words = listed([f"{label} ({name_of(codes[label])})" for label in parted])
        notes.append(f"The code changed while runs were made: {words}.")
    return notes


def _runs(labels: Sequence[str]) -> str:
    """How many runs, and which if they are few."""
    count = f"{len(labels)} run{'s' * (len(labels) != 1)}"
    return f"{count} [{', '.join(labels)}]" if len(labels) <= MAX_NAMED else count


def notes_on(result: Mapping[str, Any]) -> list[str]:
    """Notes on a finished result of which the code or the libraries are others now."""
    code = result.get("code")
    if not code:
        return ["the code of this result is unknown; rerun=code repeats the run."]
    notes = []
    if differing := changed(code):
        notes.append(f"the code has changed since: {listed(differing)}; rerun=code repeats the run.")
    elif len(code.get("history", [])) > 1:
        notes.append("other code made a part of this; rerun=code repeats the run.")
    there = result.get("packages", {})
    versions = [
        f"{name} {there[name]} (now {now})"
        for name in NOTED_PACKAGES
        if name in there and (now := _version(name)) != there[name]
    ]
    if versions:
        notes.append(f"made with {', '.join(versions)}; rerun=true repeats the run.")
    return notes


def listed(names: Sequence[str]) -> str:
    """The first few of many names.

    Example:
        >>> listed(["a", "b", "c", "d", "e"])
        'a, b, c and 2 more'
    """
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more


def _targets(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """The key and the target of every object in a configuration."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            above, _, last = (f"{key}.{name}" if key else str(name)).rpartition(".")
            if last == "_target_":
                yield above or str(item).rpartition(".")[2].lower(), moved(str(item))
            else:
                yield from _targets(item, f"{above}.{last}" if above else last)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _targets(item, f"{key}.{index}")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
