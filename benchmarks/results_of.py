"""What commands leave in a folder, and in what two such folders differ."""

import csv
import json
import re
import time
from pathlib import Path
from typing import Any

TIMED = ("timing", "provenance")  # in metrics.json: not the same twice
LOGS = (".log", ".logged")
TIMES = re.compile("second|millisecond|time|cost|speed|created|git|version|host|thread")


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
        if not _is_same(reference / name, other / name):
            told.append(f"differs: {name}")
    return told


def _files(folder: Path) -> set[str]:
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    return {name for name in found if not name.endswith(LOGS)}


def _is_same(one: Path, other: Path) -> bool:
    if one.read_bytes() == other.read_bytes():
        return True
    kinds = {".json": _json, ".ckpt": _checkpoint, ".parquet": _parquet, ".csv": _csv}
    if one.suffix in (".png", ".svg", ".md"):  # drawn from what is compared, with times in it
        return True
    read = kinds.get(one.suffix)
    return read is not None and read(one) == read(other)


def _json(path: Path) -> str:
    content = json.loads(path.read_text())
    if path.name == "manifest.json":
        content = {key: content[key] for key in ("name", "axes") if key in content}
    return json.dumps(_timeless(content), sort_keys=True)


def _timeless(node: Any) -> Any:
    """Leaves out times, and the checksums of checkpoints, which hold times; those are compared apart."""
    if isinstance(node, dict):
        kept = {key: value for key, value in node.items() if key not in TIMED and not TIMES.search(key)}
        return {
            key: _timeless(value)
            for key, value in kept.items()
            if "checkpoint" not in key and key != "checkpoints"
        }
    return [_timeless(value) for value in node] if isinstance(node, list) else node


def _checkpoint(path: Path) -> str:
    import torch

    content = torch.load(path, weights_only=True)
    kept = {
        key: content[key]
        for key in ("state_dict", "optimizer_states", "global_step", "lr_schedulers")
        if key in content
    }
    return repr(_plain(kept))


def _plain(node: Any) -> Any:
    import torch

    if isinstance(node, torch.Tensor):
        return node.dtype, node.tolist()
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items()}
    return [_plain(value) for value in node] if isinstance(node, list | tuple) else node


def _parquet(path: Path) -> str:
    import polars as pl

    table = pl.read_parquet(path)
    return repr(
        [table[name].to_list() for name in table.columns if not TIMES.search(name) and "sha256" not in name]
    )


def _csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [{k: v for k, v in row.items() if not TIMES.search(str(k))} for row in csv.DictReader(file)]
