"""`vae-lab new` and `vae-lab check` as they are typed."""

import json
import subprocess
import sys

import pytest
from conftest import environment, only

from vae_lab.cli.commands.new import KINDS

CHECKED = sorted(set(KINDS) - {"sweep", "estimator", "baseline"})  # in a second or two


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_begun_as_an_option(kind, vae_lab, tmp_path):
    process = vae_lab("new", kind, f"my_{kind}")
    assert process.returncode == 0, process.stderr
    *files, following = process.stdout.splitlines()
    assert all((tmp_path / name).is_file() for name in files)
    assert following.startswith("next: vae-lab ")
    assert (tmp_path / "vae_lab.toml").read_text() == 'plugins = ["parts"]\n'
    again = vae_lab("new", kind, f"my_{kind}")
    assert again.returncode == 1
    assert f"my_{kind}" in again.stderr
    assert "already; choose another name." in again.stderr


@pytest.mark.parametrize("kind", CHECKED)
def test_what_is_begun_passes_its_check(kind, vae_lab, tmp_path):
    begun = vae_lab("new", kind, "mine").stdout.splitlines()[-1]
    process = vae_lab(*begun.removeprefix("next: vae-lab ").split())
    assert process.returncode == 0, process.stdout + process.stderr
    assert "passed: " in process.stdout
    page = (only(tmp_path / "outputs" / "check") / "check.md").read_text()
    assert page.startswith("# passed: ")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["estimator", "baseline", "dataset"])
def test_what_is_begun_trains_and_passes_its_own_test(kind, vae_lab, tmp_path):
    vae_lab("new", kind, "mine")
    words = {
        "estimator": ["estimator=mine"],
        "baseline": ["estimator=score_function", "estimator/baseline=mine"],
        "dataset": ["dataset=mine", "dataset.train_size=500"],
    }[kind]
    quick = ["logger=none", "trainer.max_samples=1000", "trainer.evaluate_at=end", "trainer.progress=false"]
    assert vae_lab("train", *words, *quick).returncode == 0
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "parts"]
    own = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert own.returncode == 0, own.stdout


@pytest.mark.slow
def test_an_estimator_is_judged_and_measured_beside_others(vae_lab, tmp_path):
    vae_lab("new", "estimator", "mine")
    process = vae_lab("check", "estimator=mine", timeout=600)
    assert process.returncode == 0, process.stdout + process.stderr
    assert "passed: " in process.stdout
    assert process.stdout.count("\nmine ") == 2  # at a fresh and at a trained model
    module = tmp_path / "parts" / "mine.py"
    module.write_text(
        module.read_text().replace("(signal.sum(0) - signal) / (self.num", "signal.mean(0) / (self.num")
    )
    again = vae_lab("check", "estimator=mine")
    assert "This part is checked already" in again.stdout
    assert "the code has changed" in again.stdout
    anew = vae_lab("check", "estimator=mine", "rerun=code", "beside=null", timeout=600)
    assert anew.returncode == 1
    assert "fails: mean gradient" in anew.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "check needs a part to judge, such as estimator=mine."),
        (["seed=1"], "check needs a part to judge, such as estimator=mine."),
        (["parts=[optimizer]"], "parts must hold parts that can be checked, got 'optimizer'"),
        (["estimator=rloo", "beside=sinle_sample"], "did you mean single_sample?"),
        (["model=ppca", "model/likelihood=bernoulli"], "model/likelihood"),
    ],
)
def test_refusals_of_check(words, message, vae_lab, tmp_path):
    process = vae_lab("check", *words)
    assert process.returncode == 1
    assert message in process.stderr
    assert "Traceback" not in process.stderr
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["estimatr", "mine"], "estimatr is no kind of part; did you mean estimator?"),
        (["estimator"], "takes a kind and a name: vae-lab new estimator mine."),
        (["estimator", "rloo"], "there is an option estimator=rloo already"),
        (["estimator", "json"], "there is a Python module json already"),
        (["estimator", "torch"], "there is a Python module torch already"),
        (
            ["estimator", "My-One"],
            "must be lower-case letters, digits and _, such as my_estimator, got 'My-One'",
        ),
        (["estimator", "class"], "got 'class'"),
        (["sweep", "latent_dim"], "there is a sweep latent_dim already"),
    ],
)
def test_refusals_of_new(words, message, vae_lab, tmp_path):
    process = vae_lab("new", *words)
    assert process.returncode == 1
    assert message in process.stderr
    assert not list(tmp_path.iterdir())


def test_a_check_keeps_its_findings(vae_lab, tmp_path):
    assert vae_lab("check", "model/likelihood=bernoulli").returncode == 0
    result = json.loads((only(tmp_path / "outputs" / "check") / "metrics.json").read_text())
    assert result["metrics"]["failed"] == 0
    assert {each["check"] for each in result["findings"]["model.likelihood"]} >= {"normalised", "samples"}
