"""`vae-lab runs`, as a user types it."""

import json
import re
import shutil
from functools import partial

import pytest

import vae_lab as package
from vae_lab.cli.commands import runs as command
from vae_lab.runs import lease, lease_file

FAST = ["logger=none", "trainer.max_samples=200", "trainer.evaluate_at=end", "trainer.progress=false"]
FAST += ["evaluation.importance_samples=2"]


@pytest.fixture(scope="module")
def trained(command_line, tmp_path_factory):
    """A folder with two trainings, samples of one of them, and a training that has failed."""
    folder = tmp_path_factory.mktemp("trained")
    for words in (["seed=0"], ["seed=1", "estimator=iwae", "model.latent_dim=3"]):
        assert command_line("train", *FAST, *words, cwd=folder).returncode == 0
    first = signature(folder, "seed=0")
    generated = command_line("generate", f"run={first[:5]}", "logger=none", "number=4", cwd=folder)
    assert generated.returncode == 0, generated.stderr
    failed = folder / "outputs" / "runs" / "f00000000000"
    (failed / ".hydra").mkdir(parents=True)
    shutil.copy(folder / "outputs" / "runs" / first / ".hydra" / "config.yaml", failed / ".hydra")
    (failed / ".vae_lab.json").write_text(
        json.dumps({"vae_lab": {"kind": "train", "made": True, "files": []}})
    )
    (failed / "failure.json").write_text('{"error": "no more of it"}\n')
    return folder


@pytest.fixture
def folder(trained, tmp_path):
    """A copy of that folder."""
    shutil.copytree(trained / "outputs", tmp_path / "outputs")
    return tmp_path


@pytest.fixture
def runs(command_line, folder):
    """Runs `vae-lab runs` in the copy; gives the finished process."""
    return partial(command_line, "runs", cwd=folder)


def signature(folder, *conditions):
    """The signature of the only training of a folder that fulfils conditions."""
    table = package.runs(folder / "outputs", "command=train", "status=done", *conditions)
    (name,) = table["signature"]
    return name


def lines(process):
    assert process.returncode == 0, process.stderr
    return process.stdout.splitlines()


def refused(process):
    assert process.returncode == 1
    assert process.stderr.count("\n") == 1
    return process.stderr.removeprefix("vae-lab runs: ").rstrip()


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_list_shows_the_settings_that_tell_runs_apart(runs):
    head, *rows = lines(runs())
    columns = ["signature", "command", "status", "run", "estimator", "model.latent_dim"]
    assert head.split() == [*columns, "seed", "test/elbo", "test/log_likelihood", "finished"]
    assert len(rows) == 4
    assert [row.split()[1:3] for row in rows[:3]] == [["train", "done"]] * 2 + [["generate", "done"]]
    assert rows[-1].split()[:3] == ["f00000000000", "train", "failed"]


def test_conditions_choose_and_the_table_in_python_agrees(runs, folder):
    for conditions in (["estimator=iwae"], ["model.latent_dim>3", "status=done"], ["status=failed"]):
        _, *rows = lines(runs(*conditions))
        assert [row.split()[0] for row in rows] == list(
            package.runs(folder / "outputs", *conditions)["signature"]
        )
        assert len(rows) == 1 or conditions[0].startswith("model")
    assert lines(runs("seed=99")) == ["no run in outputs with seed=99"]
    assert lines(runs("output_dir=./outputs", "seed=0,1"))[1:] == lines(runs("seed=0,1"))[1:]


def test_a_run_is_shown_by_a_beginning_of_its_signature(runs, folder):
    name = signature(folder, "seed=1")
    assert (
        lines(runs("show", name[:6]))
        == lines(runs("show", name))
        == lines(runs("show", f"outputs/runs/{name}"))
    )
    text = "\n".join(" ".join(line.split()) for line in lines(runs("show", name)))
    elbo = json.loads((folder / "outputs" / "runs" / name / "metrics.json").read_text())["metrics"][
        "test/elbo"
    ]
    for shown in ("estimator iwae", "model.latent_dim 3", "seed 1", f"test/elbo {elbo:.2f}", "metrics.csv"):
        assert f"\n{shown}" in text
    assert "error no more of it" in " ".join(" ".join(lines(runs("show", "f0000"))).split())


def test_two_runs_are_compared_in_what_differs_alone(runs, folder):
    one, other = signature(folder, "seed=0"), signature(folder, "seed=1")
    head, *rows = (line.split() for line in lines(runs("diff", one, other)))
    assert head == [one, other]
    assert [row for row in rows if row[0] in ("seed", "estimator", "model.latent_dim")] == [
        ["estimator", "reparameterized", "iwae"], ["model.latent_dim", "8", "3"], ["seed", "0", "1"],
    ]  # fmt: skip
    assert all(row[1] != row[2] for row in rows if "/" not in row[0])
    assert "dataset" not in {row[0] for row in rows}
    assert lines(runs("diff", one, one)) == ["no setting and no number differs"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "sho",
            "'sho' is neither a condition nor one of the words; did you mean show? There are: show, diff,",
        ),
        ("seed", "seed is no condition; write seed=VALUE"),
        ("sed=0", "sed=0: no run here has sed; did you mean seed?"),
        ("output_dir=nowhere", "output_dir=nowhere: there is no such folder; pass that of your results."),
        ("--yes", "--yes belongs to vae-lab runs delete."),
        ("--dry", "--dry is not understood; did you mean --dry-run?"),
        ("show", "show takes one run: vae-lab runs show RUN."),
        ("show zz", "'zz' is neither a run's directory nor a signature in outputs"),
        ("show outputs", "'outputs' is neither a run's directory nor a signature in outputs"),
        ("diff f0", "diff takes two runs: vae-lab runs diff RUN RUN."),
        ("delete", "delete takes conditions or runs: vae-lab runs delete status=failed."),
        ("delete --yes", "delete takes conditions or runs: vae-lab runs delete status=failed."),
        ("delete status=done", "without a terminal to ask on, add --yes."),
        ("delete outputs --yes", "'outputs' is neither a run's directory nor a signature in outputs"),
        ("delete f0 seed=x --yes", "seed=x: seed must be a number, got x."),
    ],
)
def test_a_mistake_is_one_sentence_and_deletes_nothing(runs, folder, words, message):
    before = files(folder)
    assert message in refused(runs(*words.split()))
    assert files(folder) == before


@pytest.mark.parametrize("word", ["a" * 3000, f"{'a' * 300}/b", "\0", "a" * 3000 + "=1", "seed=\n"])
@pytest.mark.parametrize("verb", [[], ["show"], ["diff", "f0"], ["delete", "--yes"]])
def test_a_word_that_can_be_no_name_is_refused(here, trained, monkeypatch, verb, word):
    monkeypatch.chdir(trained)
    assert here("runs", *verb, word).stderr.count("\n") == 1


def test_a_beginning_of_several_signatures_is_refused_with_all_of_them(runs, folder):
    for name in ("f00000000001", "f00000000002"):
        shutil.copytree(folder / "outputs" / "runs" / "f00000000000", folder / "outputs" / "runs" / name)
    message = (
        "f0 is the beginning of 3 signatures, f00000000000, f00000000001, f00000000002; give more of one."
    )
    assert refused(runs("show", "f0")) == message


def test_a_beginning_names_a_run_for_every_command(command_line, folder):
    name = signature(folder, "seed=0")
    whole, part = (
        command_line("generate", f"run={each}", "logger=none", "number=4", cwd=folder)
        for each in (name, name[:4])
    )
    assert whole.stdout.startswith("This command is done already")
    assert part.stdout == whole.stdout
    shutil.copytree(folder / "outputs" / "runs" / name, folder / "outputs" / "runs" / f"{name[:4]}00000000")
    refusal = command_line("generate", f"run={name[:4]}", "logger=none", cwd=folder)
    assert refusal.returncode == 1
    assert f"{name[:4]} is the beginning of 2 signatures, " in refusal.stderr


def test_a_dry_run_tells_what_a_deletion_frees_and_deletes_nothing(runs, folder):
    before = files(folder)
    name = signature(folder, "seed=0")
    size = package.runs(folder / "outputs", f"signature={name}")["bytes"][0]
    last = lines(runs("delete", name, "--dry-run"))[-1]
    assert last == f"would delete 1 run, {command.in_bytes(size)}"
    assert files(folder) == before


def test_a_deletion_takes_the_chosen_runs_whole_and_leaves_the_others(runs, folder, command_line):
    name = signature(folder, "seed=1")
    others = {path: text for path, text in files(folder).items() if name not in path and "f0000" not in path}
    assert lines(runs("delete", "estimator=iwae", "--yes"))[-1].startswith("deleted 1 run, ")
    assert lines(runs("delete", "f00", "--yes"))[-1].startswith("deleted 1 run, ")
    assert files(folder) == others
    assert {path.name for path in (folder / "outputs" / "runs").iterdir()} == {signature(folder)}
    again = command_line("train", *FAST, "seed=1", "estimator=iwae", "model.latent_dim=3", cwd=folder)
    assert again.returncode == 0, again.stderr
    assert signature(folder, "seed=1") == name


def test_a_deletion_leaves_files_that_vae_lab_did_not_write(runs, folder):
    directory = folder / "outputs" / "runs" / signature(folder, "seed=0")
    mine = {"notes.md": b"mine", "figures/mine.png": b"drawn", "checkpoints/mine.ckpt": b"kept"}
    for name, text in mine.items():
        (directory / name).write_bytes(text)
    printed = lines(runs("delete", directory.name, "--yes"))
    assert files(directory) == mine
    noted = "checkpoints/mine.ckpt, figures/mine.png, notes.md"
    assert f"note: outputs/runs/{directory.name} keeps {noted}, which vae_lab did not write." in printed


def test_a_deletion_takes_an_earlier_result_and_a_dead_lease_too(runs, folder):
    directory = folder / "outputs" / "runs" / signature(folder, "seed=0")
    aside = directory / ".earlier"
    shutil.copytree(directory, folder / "copy")
    shutil.move(folder / "copy", aside)
    (directory / ".lease-3").write_bytes(lease_file.own("token", 0, {})._replace(pid=2**30).content())
    size = package.runs(folder / "outputs", f"signature={directory.name}", "command=train")["bytes"][0]
    freed = lines(runs("delete", directory.name, "--dry-run"))[-1]
    assert freed == f"would delete 1 run, {command.in_bytes(size - lease_file.LENGTH)}"
    lines(runs("delete", directory.name, "--yes"))
    assert not directory.exists()


def test_a_run_that_is_running_is_left_alone(runs, folder):
    directory = folder / "outputs" / "runs" / "f00000000000"
    (directory / "failure.json").unlink()
    with lease.hold(directory):
        assert "running" in lines(runs("status=running"))[1]
        printed = lines(runs("delete", "f00", "--yes"))
        assert printed == [
            f"note: outputs/runs/{directory.name} is running, and is left alone.",
            "no run to delete",
        ]
        assert (directory / ".vae_lab.json").is_file()
    lines(runs("delete", "f00", "--yes"))
    assert not directory.exists()


def test_an_earlier_result_is_not_deleted_from_under_its_run(runs, folder):
    directory = folder / "outputs" / "runs" / signature(folder, "seed=0")
    shutil.copytree(directory, folder / "copy")
    shutil.move(folder / "copy", directory / ".earlier")
    message = refused(runs("delete", f"outputs/runs/{directory.name}/.earlier", "--yes"))
    assert message.endswith(f"/.earlier is a part of the run outputs/runs/{directory.name}; delete that.")
    assert (directory / ".earlier" / "metrics.json").is_file()


def test_a_run_without_a_list_of_its_files_is_not_deleted(runs, folder):
    (folder / "outputs" / "runs" / "f00000000000" / ".vae_lab.json").unlink()
    before = files(folder)
    assert "has no list of the files that vae_lab wrote there" in refused(
        runs("delete", "status=failed", "--yes")
    )
    assert files(folder) == before


@pytest.mark.parametrize(("answer", "is_gone"), [("y", True), ("yes", True), ("", False), ("n", False)])
def test_a_terminal_is_asked(folder, monkeypatch, capsys, answer, is_gone):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["vae-lab", "delete", "status=failed"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    questions = []
    monkeypatch.setattr("builtins.input", lambda question: questions.append(question) or answer)
    command.main()
    assert re.fullmatch(r"delete 1 run, [\d.]+ (kB|bytes)\? \[y/N\] ", *questions)
    assert (folder / "outputs" / "runs" / "f00000000000").exists() != is_gone
    assert capsys.readouterr().out.endswith("deleted\n") != is_gone


def test_a_sweep_that_has_the_runs_is_named(command_line, tmp_path):
    assert command_line("train", *FAST, "-m", "seed=0", "sweep.name=mine", cwd=tmp_path).returncode == 0
    printed = lines(command_line("runs", "delete", "seed=0", "--yes", cwd=tmp_path))
    assert "note: sweep mine has 1 of these; its command makes them again." in printed


def test_completion_offers_words_and_then_signatures(command_line, folder):
    def offered(line):
        return command_line("-sc", "query=bash", cwd=folder, env={"COMP_LINE": line}).stdout.split()

    assert offered("vae-lab run") == ["runs"]
    assert offered("vae-lab runs d") == ["diff", "delete"]
    assert offered("vae-lab runs show f") == ["f00000000000"]
    assert offered("vae-lab runs delete --") == ["--dry-run", "--yes"]
