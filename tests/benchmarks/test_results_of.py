"""The comparison of two folders of results: differences that it sees, and those that it leaves out."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import REPOSITORY

sys.path.append(str(REPOSITORY / "benchmarks"))

from results_of import difference  # noqa: E402

RUN = "outputs/runs/0123456789ab"


def _write(path: Path, elbo: float = -1.0, seconds: float = 2.0, weight: float = 0.5) -> None:
    run = path / RUN
    run.mkdir(parents=True, exist_ok=True)
    result = {
        "metrics": {"elbo": elbo},
        "timing": {"training_seconds": seconds},
        "checkpoint_sha256": seconds,
    }
    (run / "metrics.json").write_text(json.dumps(result))
    (run / "table.md").write_text(f"2 runs.\n\n| elbo | training, s |\n|---|---|\n| {elbo} | {seconds} |\n")
    (run / "metrics.csv").write_text(f"elbo,seconds\n{elbo},{seconds}\n")
    (run / "samples.png").write_bytes(b"a picture")
    (run / "output.log").write_text(f"{seconds} s")
    torch.save({"state_dict": {"w": torch.tensor([weight])}, "seconds": seconds}, run / "last.ckpt")


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({}, []),
        ({"seconds": 3.0}, []),
        ({"elbo": -1.0000001}, ["metrics.csv", "metrics.json", "table.md"]),
        ({"weight": 0.50000006}, ["last.ckpt"]),
    ],
)
def test_numbers_and_weights_are_compared_bit_for_bit_and_times_not(
    tmp_path: Path, changed: dict[str, Any], names: list[str]
) -> None:
    _write(tmp_path / "one")
    _write(tmp_path / "other", **changed)
    told = difference(tmp_path / "one", tmp_path / "other")
    assert [line.split(": ")[1].removeprefix(f"{RUN}/") for line in told] == names


@pytest.mark.parametrize(("estimator", "change", "names"), [
    ("PPCA", 1e-14, []),
    ("PPCA", 1e-9, ["metrics.csv", "metrics.json"]),
    ("Reparameterized", 1e-14, ["metrics.csv", "metrics.json"]),
])  # fmt: skip
def test_numbers_of_a_fit_in_closed_form_are_compared_but_for_rounding(
    tmp_path: Path, estimator: str, change: float, names: list[str]
) -> None:
    for name, elbo in (("one", -21.0), ("other", -21.0 * (1 + change))):
        run = tmp_path / name / RUN
        run.mkdir(parents=True)
        (run / "metrics.json").write_text(json.dumps({"estimator": estimator, "metrics": {"elbo": elbo}}))
        (run / "metrics.csv").write_text(f"elbo\n{elbo}\n")
    told = difference(tmp_path / "one", tmp_path / "other")
    assert [line.split(": ")[1].removeprefix(f"{RUN}/") for line in told] == names


def test_a_file_that_is_missing_left_over_or_another_picture_is_told(tmp_path: Path) -> None:
    _write(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "other")
    (tmp_path / "other" / RUN / "samples.png").write_bytes(b"another picture")
    (tmp_path / "other" / RUN / "table.md").unlink()
    (tmp_path / "other" / RUN / ".lease").touch()
    assert difference(tmp_path / "one", tmp_path / "other") == [
        f"is missing: {RUN}/table.md",
        f"is left over: {RUN}/.lease",
        f"differs: {RUN}/samples.png: its bytes",
    ]
