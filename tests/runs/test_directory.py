import json

import pytest
from conftest import composed
from omegaconf import OmegaConf

from vae_lab.config.commands import COMMANDS
from vae_lab.errors import UserError
from vae_lab.files.writing import checksum, write_atomically
from vae_lab.runs import earlier
from vae_lab.runs.directory import RunDirectory
from vae_lab.runs.failure import remove_if_unused
from vae_lab.runs.result import Result
from vae_lab.runs.signature import (
    NOT_DEFINING_IN_GROUP,
    definition,
    family,
    kind_of,
    signature,
)
from vae_lab.tracking import MetricsCsv

CONFIGURED = [name for name, command in COMMANDS.items() if command.has_configuration]


@pytest.mark.parametrize(
    "override",
    ["seed=1", "model.latent_dim=3", "dataset.batch_size=50", "dataset.binarize=none", "optimizer.lr=0.01",
     "trainer.max_epochs=3", "trainer.precision=64-true", "estimator.kl=sampled", "model=conv",
     "evaluation.importance_samples=5", "dataset=mnist"],
)  # fmt: skip
def test_what_defines_a_result_changes_the_signature(override):
    assert signature(composed(override)) != signature(composed())


@pytest.mark.parametrize(
    "override",
    ["trainer=gpu", "trainer.devices=2", "trainer.progress=false", "trainer.checkpoint_seconds=1",
     "logger=none", "output_dir=elsewhere", "rerun=true"],
)  # fmt: skip
def test_what_does_not_define_it_leaves_the_signature(override):
    assert signature(composed(override)) == signature(composed())


def of_command(command):
    return composed(*(["against=digits"] if command == "outliers" else []), command=command)


def with_key(cfg, key, value):
    OmegaConf.update(cfg, key, value, force_add=True)
    return signature(cfg)


def test_the_command_of_a_configuration_is_known():
    assert [kind_of(of_command(name)) for name in CONFIGURED] == CONFIGURED


@pytest.mark.parametrize("command", CONFIGURED)
def test_a_key_that_defines_nothing_for_a_command_does_for_another(command):
    for key in set().union(*(each.not_defining for each in COMMANDS.values())):
        defines = with_key(of_command(command), key, 1) != with_key(of_command(command), key, 2)
        assert defines == (key not in COMMANDS[command].not_defining), key


@pytest.mark.parametrize("group", NOT_DEFINING_IN_GROUP)
def test_a_key_that_defines_nothing_in_a_group_does_in_another(group):
    command = {"measures": "evaluate", "probe": "gradients"}.get(group, "train")
    choices = ["dataset=mnist"] if group == "dataset" else []  # whose files are known
    for other, keys in NOT_DEFINING_IN_GROUP.items():
        for key in keys - {"root", "path"}:  # which are not left out where nothing is known of the data
            cfg = composed(*choices, command=command)
            changes = with_key(cfg, f"{group}.{key}", 1) != with_key(cfg, f"{group}.{key}", 2)
            assert changes == (key not in NOT_DEFINING_IN_GROUP[group]), (other, key)


@pytest.mark.parametrize("command", CONFIGURED)
def test_a_file_that_a_key_names_enters_by_what_it_holds_for_its_command(command, tmp_path):
    path = tmp_path / "x.npy"
    path.write_bytes(b"data")
    for key in set().union(*(each.files for each in COMMANDS.values())):
        cfg = of_command(command)
        OmegaConf.update(cfg, key, str(path), force_add=True)
        assert (f"{key}_content" in definition(cfg)) == (key in COMMANDS[command].files), key


def test_a_class_from_outside_in_the_place_of_a_command_has_the_keys_of_all():
    cfg = composed(command="embed")
    cfg._target_ = "mypkg.Mine"
    assert with_key(cfg, "out", 1) == with_key(cfg, "out", 2)


def test_where_the_data_lie_does_not_matter_but_what_they_are_does(monkeypatch):
    here = signature(composed("dataset=mnist"))
    monkeypatch.setenv("VAE_LAB_DATA", "/somewhere/else")
    assert signature(composed("dataset=mnist")) == here
    file = "dataset.files.'MNIST/raw/t10k-images-idx3-ubyte'"
    cfg = composed("dataset=mnist")
    cfg.dataset.files["MNIST/raw/t10k-images-idx3-ubyte"] = "0" * 64
    assert signature(cfg) != here, file


def test_numbers_that_are_equal_sign_equally():
    assert signature(composed("trainer.max_samples=1e6")) == signature(
        composed("trainer.max_samples=1000000")
    )
    assert signature(composed("estimator.beta=1")) == signature(composed("estimator.beta=1.0"))


def test_a_budget_in_samples_takes_the_place_of_epochs():
    with_epochs = composed("trainer.max_samples=1000", "trainer.max_epochs=7")
    assert signature(with_epochs) == signature(composed("trainer.max_samples=1000"))


def test_a_family_differs_in_its_budget_alone():
    assert family(composed("trainer.max_epochs=3")) == family(composed("trainer.max_epochs=30"))
    assert family(composed("seed=1")) != family(composed())
    best = "trainer.select=best"
    assert family(composed("trainer.max_epochs=3", best)) != family(composed("trainer.max_epochs=30", best))


def unfinished_run(path, cfg):
    directory = RunDirectory(path, cfg)
    directory.claim()
    directory.begin()
    directory.metrics_csv.touch()
    directory.last_checkpoint.touch()
    return directory


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def finished_run(path, cfg, samples):
    directory = RunDirectory(path, cfg)
    directory.claim()
    directory.begin()
    directory.metrics_csv.write_text("step,samples\n1,100\n")
    directory.last_checkpoint.write_text(f"checkpoint of {samples}")
    recorded = checksum(directory.last_checkpoint)
    result = {"definition": directory.definition, "metrics": {"samples": samples}}
    directory.finish(Result.of(result | {"checkpoint_sha256": recorded}))
    return directory


def test_a_longer_budget_takes_over_the_longest_shorter_run(tmp_path):
    finished_run(tmp_path / "a", composed("trainer.max_samples=100"), 100)
    finished_run(tmp_path / "b", composed("trainer.max_samples=200"), 200)
    finished_run(tmp_path / "c", composed("trainer.max_samples=900"), 900)
    finished_run(tmp_path / "d", composed("trainer.max_samples=300", "seed=1"), 300)
    directory = RunDirectory(tmp_path / "e", composed("trainer.max_samples=500"))
    directory.begin()
    assert directory.last_checkpoint.read_text() == "checkpoint of 200"
    assert directory.metrics_csv.is_file()


def test_a_shorter_run_with_another_checkpoint_than_the_one_on_record_is_left_aside(tmp_path, capsys):
    finished_run(tmp_path / "a", composed("trainer.max_samples=100"), 100)
    changed = finished_run(tmp_path / "b", composed("trainer.max_samples=200"), 200)
    changed.last_checkpoint.write_text("checkpoint of 900")
    directory = RunDirectory(tmp_path / "e", composed("trainer.max_samples=500"))
    directory.begin()
    assert directory.last_checkpoint.read_text() == "checkpoint of 100"
    assert f"nothing is taken over from {tmp_path / 'b'}" in capsys.readouterr().err


def test_a_directory_with_another_configuration_is_refused(tmp_path):
    finished_run(tmp_path / "a", composed(), 100)
    with pytest.raises(UserError, match=r"model.latent_dim is 8 there and 3 here.*rerun=true"):
        RunDirectory(tmp_path / "a", composed("model.latent_dim=3")).finished()


def test_the_file_of_metrics_is_there_before_the_first_checkpoint(tmp_path):
    MetricsCsv(tmp_path / "metrics.csv")
    again = MetricsCsv(tmp_path / "metrics.csv", resumed_at=7)
    again.log_metrics({"train/elbo": -1.0}, step=50)
    assert again.numbers() == [(50, {"train/elbo": -1.0})]


def test_metrics_json_means_done(tmp_path):
    directory = RunDirectory(tmp_path / "a", composed())
    directory.claim()
    directory.begin()
    assert directory.finished() is None
    finished_run(tmp_path / "a", composed(), 100)
    assert directory.finished().metrics["samples"] == 100


def test_set_aside_begins_again_and_leaves_what_it_has_not_written(tmp_path):
    directory = unfinished_run(tmp_path / "a", composed())
    for name in ("train.log", "notes.md", "checkpoints/mine.ckpt"):
        (tmp_path / "a" / name).touch()
    earlier.set_aside(directory.path, "train")
    there = files(tmp_path / "a") - {".vae_lab.json", ".hydra/config.yaml", ".hydra/overrides.yaml"}
    assert there == {"train.log", "notes.md", "checkpoints/mine.ckpt", ".afresh"}
    (tmp_path / "a" / "notes.md").unlink()
    (tmp_path / "a" / "checkpoints" / "mine.ckpt").unlink()
    (tmp_path / "a" / "checkpoints").rmdir()
    remove_if_unused(tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_writing_is_all_or_nothing(tmp_path, monkeypatch):
    path = tmp_path / "file.json"
    write_atomically(path, json.dumps({"a": 1}))
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, json.dumps({"a": 2}))
    assert json.loads(path.read_text()) == {"a": 1}


def test_metrics_csv_widens_and_keeps_full_precision(tmp_path):
    log = MetricsCsv(tmp_path / "metrics.csv")
    log.log_metrics({"samples": 100, "train/elbo": 1 / 3}, step=1)
    log.log_metrics({"samples": 200, "validation/elbo": -2e-17}, step=2)
    rows = MetricsCsv(tmp_path / "metrics.csv", resumed_at=2)._read()
    assert [float(rows[0]["train/elbo"]), float(rows[1]["validation/elbo"])] == [1 / 3, -2e-17]
    assert rows[1]["train/elbo"] == ""


def test_a_resumed_metrics_csv_drops_what_will_come_again(tmp_path):
    log = MetricsCsv(tmp_path / "metrics.csv")
    for step in range(1, 6):
        log.log_metrics({"train/elbo": float(step)}, step=step)
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("6")  # killed in the middle of a row
    resumed = MetricsCsv(tmp_path / "metrics.csv", resumed_at=3)
    assert resumed.last_step == 5
    resumed.log_metrics({"train/elbo": 4.0}, step=4)
    assert [row["step"] for row in resumed._read()] == ["1", "2", "3", "4"]


def test_the_row_of_the_test_comes_once(tmp_path):
    log = MetricsCsv(tmp_path / "metrics.csv")
    log.log_metrics({"validation/elbo": -1.0}, step=5)
    log.log_metrics({"test/elbo": -1.0}, step=5)
    resumed = MetricsCsv(tmp_path / "metrics.csv", resumed_at=5)  # killed before metrics.json
    assert [row["validation/elbo"] for row in resumed._read()] == ["-1.0"]


def test_what_is_measured_before_the_first_step_comes_once(tmp_path):
    for resumed_at in (0, 0, 3):  # killed before the first checkpoint, and after it
        log = MetricsCsv(tmp_path / "metrics.csv", resumed_at)
        if resumed_at == 0:
            log.log_metrics({"probe/variance": 1.0}, step=0)
            log.log_metrics({"train/elbo": -1.0}, step=3)
    assert [row["step"] for row in log._read()] == ["0", "3"]
