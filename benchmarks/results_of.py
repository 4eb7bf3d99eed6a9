"""The files that commands leave in a folder, and the differences of two such folders."""

import csv
import json
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

# What is not the same twice. Checksums of checkpoints: these hold times, and are compared by their tensors.
# Whether a folder was made by the command that marked it: one that is killed between the two leaves it empty.
NOT_COMPARED = {"timing", "training_seconds", "checkpoint_sha256", "checkpoints", "checkpoint", "made"}
TIMED = re.compile(r"second|, m?s\b|^timing\.|sha256")  # columns of tables
DRAWN_FROM_TIMES = ("variance_at_equal_cost.png", "variance_per_second.png")
# Numbers of models fitted in closed form or by EM, and principal components, are not always rounded alike in
# two processes: they are equal to this share of the largest number beside them.
ROUNDED = 1e-12
FITTED = ("PPCA", "IndependentPixels", "GaussianMixture", "BernoulliMixture", "FiniteMixture")
LOGS = (".log", ".logged")  # logs tell the times; `.logged` is the checksum of what has been sent to a logger
# Not `epoch`: Lightning counts how many runs have gone into one that takes over from shorter ones.
OF_A_CHECKPOINT = ("state_dict", "optimizer_states", "global_step", "lr_schedulers")


def done(folder: Path) -> dict[str, tuple[int, int]]:
    """The results that are there, by their signatures: when each was written, and the number of its file."""
    found: dict[str, tuple[int, int]] = {}
    for _ in range(2):  # what is just being moved is seen once at least
        for path in (folder / "outputs").rglob("metrics.json"):
            try:
                state = path.stat()
            except FileNotFoundError:
                continue
            found[signature_in(path)] = (state.st_mtime_ns, state.st_ino)
        time.sleep(0.002)
    return found


def signature_in(path: Path) -> str:
    """The signature in a path."""
    match = re.search(r"\b[0-9a-f]{12}\b", str(path))
    return match[0] if match else str(path)


def difference(reference: Path, other: Path) -> list[str]:
    """In what two folders of results differ, apart from times and logs."""
    ours, theirs = _files(reference), _files(other)
    told = [f"is missing: {name}" for name in sorted(ours - theirs)]
    told += [f"is left over: {name}" for name in sorted(theirs - ours)]
    for name in sorted(ours & theirs):
        if where := _differing(reference / name, other / name):
            told.append(f"differs: {name}: {where}")
    return told


def _files(folder: Path) -> set[str]:
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    return {name for name in found if not name.endswith(LOGS)}


def _differing(one: Path, other: Path) -> str:
    """Where two files of one name differ; empty if they do not."""
    if one.name in DRAWN_FROM_TIMES or one.read_bytes() == other.read_bytes():
        return ""
    rounded = ROUNDED if _is_rounded(one.parent) else 0.0
    kinds = {".json": _json, ".ckpt": _checkpoint, ".parquet": _parquet, ".csv": _csv, ".md": _markdown}
    if (read := kinds.get(one.suffix)) is None:
        return "its bytes"
    return _first(read(one), read(other), rounded)


def _is_rounded(folder: Path) -> bool:
    """Whether a folder, or one above it, holds numbers of a fit in closed form or of principal components."""
    for place in (folder, *folder.parents):
        if (place / "manifest.json").is_file():
            entries = json.loads((place / "manifest.json").read_text()).get("entries", [])
            return any(_is_rounded(place / entry["directory"]) for entry in entries)
        if (place / "metrics.json").is_file():
            result = json.loads((place / "metrics.json").read_text())
            return place.parent.name == "explore" or result.get("estimator") in FITTED
    return False


def _first(one: Any, other: Any, rounded: float, scale: float = 0.0) -> str:
    """Where two trees of values differ first.

    Args:
        one: A tree.
        other: Another.
        rounded: The share of a number by which rounding may change it.
        scale: A larger number beside these two.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        for key in [*one, *(key for key in other if key not in one)]:
            if where := _first(one.get(key), other.get(key), rounded):
                return f"{key} {where}"
        return ""
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        scale = max((abs(number) for number in map(_number, one) if number is not None), default=0.0)
        return next((f"[{i}] {where}" for i, pair in enumerate(zip(one, other, strict=True))
                     if (where := _first(*pair, rounded, scale))), "")  # fmt: skip
    if repr(one) == repr(other):
        return ""
    ours, theirs = _number(one), _number(other)
    if (
        rounded
        and ours is not None
        and theirs is not None
        and abs(ours - theirs) <= rounded * max(abs(ours), scale)
    ):
        return ""
    return f"{one!r:.60} became {other!r:.60}"


def _number(value: Any) -> float | None:
    """The fraction that a value is, or that a cell of a table holds."""
    if isinstance(value, float) or (isinstance(value, str) and "." in value):
        with suppress(ValueError):
            return float(value)
    return None


def _json(path: Path) -> Any:
    return _timeless(json.loads(path.read_text()))


def _timeless(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _timeless(value) for key, value in node.items() if key not in NOT_COMPARED}
    return [_timeless(value) for value in node] if isinstance(node, list) else node


def _checkpoint(path: Path) -> Any:
    import torch

    content = torch.load(path, weights_only=True)
    return {key: _plain(content[key]) for key in OF_A_CHECKPOINT if key in content}


def _plain(node: Any) -> Any:
    import torch

    if isinstance(node, torch.Tensor):
        bits = hash(node.detach().cpu().numpy().tobytes())
        return [
            str(node.dtype),
            list(node.shape),
            node.flatten().tolist() if node.dtype.itemsize == 8 else bits,
        ]
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items()}
    return [_plain(value) for value in node] if isinstance(node, list | tuple) else node


def _parquet(path: Path) -> Any:
    import polars as pl

    table = pl.read_parquet(path)
    return {name: table[name].to_list() for name in table.columns if not TIMED.search(name)}


def _csv(path: Path) -> Any:
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    return _untimed(rows)


def _markdown(path: Path) -> Any:
    """The lines of a page, its table without columns of times."""
    lines = path.read_text().split("\n")
    rows = [[cell.strip() for cell in line.split("|")] for line in lines if line.startswith("|")]
    return [[line for line in lines if not line.startswith("|")], _untimed(rows)]


def _untimed(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The rows of a table without its columns of times."""
    kept = [number for number, name in enumerate(rows[0]) if not TIMED.search(name)] if rows else []
    return [[row[number] for number in kept if number < len(row)] for row in rows]
