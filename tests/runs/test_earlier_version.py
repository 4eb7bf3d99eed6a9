"""Results of the version before, which knew classes by their modules: what of them is still read."""

import json
import shutil
from pathlib import Path

import pytest

from vae_lab import load
from vae_lab.runs.signature import family, signature

STORED = Path(__file__).parent / "earlier"
RUN = "66741f227fcd"
SETTINGS = ["logger=none", "trainer.max_samples=2000", "model.encoder.hidden=[8]", "model.decoder.hidden=[8]",
            "evaluation.importance_samples=5"]  # fmt: skip


@pytest.fixture
def earlier(tmp_path):
    """The outputs of the version before: two runs and their sweep."""
    shutil.copytree(STORED, tmp_path / "outputs")
    return tmp_path / "outputs"


def test_a_run_is_loaded(earlier):
    model = load(earlier / "runs" / RUN)
    stored = json.loads((earlier / "runs" / RUN / "metrics.json").read_text())
    assert stored["definition"]["format"] == 2
    assert model.result["metrics"] == stored["metrics"]
    assert "of an earlier version" in model.result["notes"][-1]


def test_it_is_evaluated_and_measured_again(earlier, vae_lab):
    done = vae_lab(
        "evaluate", f"run={RUN}", "logger=none", "measures.importance_samples=[5]", "measures.gap=0"
    )
    assert done.returncode == 0, done.stderr
    assert "of an earlier version" in done.stdout
    stored = json.loads((earlier / "runs" / RUN / "metrics.json").read_text())["metrics"]
    (measured,) = earlier.glob("evaluate/*/metrics.json")
    again = json.loads(measured.read_text())["metrics"]
    for name in ("test/kl", "test/log_likelihood"):
        assert again[name] == pytest.approx(stored[name], rel=1e-4)
    done = vae_lab("gradients", f"run={RUN}", "at=[last]", "estimators=pathwise", "probe.num_replicates=4")
    assert done.returncode == 0, done.stderr


def test_its_sweep_is_read_and_does_not_grow(earlier, vae_lab, here):
    manifest = (earlier / "sweeps" / "earlier" / "manifest.json").read_bytes()
    assert "done" in vae_lab("status", "earlier").stdout
    assert vae_lab("figures", "earlier").returncode == 0
    refused = here("train", "-m", "sweep.name=earlier", *SETTINGS, "seed=0,1,2")
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert (
        "sweep earlier is of an earlier version: status, figures and runs=earlier read it" in refused.stderr
    )
    assert (earlier / "sweeps" / "earlier" / "manifest.json").read_bytes() == manifest
    assert not [path for path in (earlier / "runs").iterdir() if not (STORED / "runs" / path.name).is_dir()]


def test_an_unfinished_run_of_it_is_not_continued(earlier, here, vae_lab):
    path = earlier / "runs" / RUN
    (path / "metrics.json").unlink()
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    refused = here("train", *SETTINGS, f"hydra.run.dir={path}")
    assert refused.returncode == 1
    assert "holds an unfinished run of an earlier version" in refused.stderr
    assert "pass rerun=true" in refused.stderr
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before
    assert vae_lab("train", *SETTINGS, f"hydra.run.dir={path}", "rerun=true").returncode == 0


def test_the_same_command_in_its_place_is_done_already(earlier, vae_lab):
    path = earlier / "runs" / RUN
    done = vae_lab("train", *SETTINGS, f"hydra.run.dir={path}")
    assert done.returncode == 0, done.stderr
    assert "done already" in done.stdout
    assert json.loads((path / "metrics.json").read_text())["definition"]["format"] == 2


def test_its_family_is_known_by_its_configuration(earlier):
    from omegaconf import OmegaConf

    cfg = OmegaConf.load(earlier / "runs" / RUN / ".hydra" / "config.yaml")
    assert (earlier / "runs" / RUN / f".family-{family(cfg, by_path=True)}").is_file()
    assert signature(cfg) != RUN
