"""README and docs: every command comes out as it stands there, or is marked with what it costs."""

import ast
import re
import shlex
import sys

import pytest
from conftest import REPOSITORY

from vae_lab.cli.commands.sweep import _compose, _restricting, _settings
from vae_lab.config import schema
from vae_lab.config.commands import COMMANDS
from vae_lab.files.paths import ROOT, SWEEPS
from vae_lab.runs import signature

sys.path.append(str(REPOSITORY / "benchmarks"))

import documents  # noqa: E402
import estimator_table  # noqa: E402

PAGES = documents.pages()
STANDING_FOR = re.compile(r"<\w+>|\b[A-Z]{3,}\b|\.\.\.$")  # as in run=<signature>, run=RUN, run=...


def name(page):
    return str(page.relative_to(REPOSITORY))


def compose(words):
    """Composes what a command line would, but for what varies."""
    command, *rest = [STANDING_FOR.sub("some", word) for word in words]
    assert command in COMMANDS
    without_configuration = command in ("status", "figures", "new", "runs") or "--config-path" in rest
    if without_configuration or rest in ([], ["some"], ["--help"]):
        return
    words = [word for word in rest if word not in ("-m", "--help", "[overrides]")]
    if command == "sweep":
        settings = _settings(SWEEPS / f"{rest[0]}.yaml")
        command = settings.get("command", "train")
        chosen = [_restricting(word, settings) for word in words[1:]]
        words = [f"hydra.searchpath=[file://{ROOT}]", f"+sweeps={rest[0]}", *chosen]
    _compose(command, words)


@pytest.fixture(autouse=True)
def _registered():
    schema.register_schemas()
    signature.register_signature()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_is_run_or_says_why_not(page):
    for step in documents.steps(page):
        assert step.words or step.is_python or step.cost, f"{page.name}:{step.block.line}: {step.text}"
        if step.is_python:
            ast.parse(step.text)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_is_not_run_can_be(page):
    commands = {tuple(step.words) for step in documents.steps(page) if step.cost and step.words}
    for line in documents.in_sentences(page):
        program, *words = shlex.split(line.replace("\\|", "|"))
        if program == "python":
            assert (REPOSITORY / words[0]).is_file(), line
        else:
            commands.add(tuple(words))
    begun = {step.words[2] for step in documents.steps(page) if step.words[:1] == ["new"]}
    absent = re.compile("hydra/sweeper=optuna" + "".join(rf"|\b{name}\b" for name in begun))
    for words in sorted(commands):
        if not any(absent.search(word) for word in words):  # of a plug-in that may not be there
            compose(words)


@pytest.fixture(scope="module")
def shown(command_line, tmp_path_factory):
    """Runs commands in a folder with the README's first run and the files that the pages speak of."""
    folder = tmp_path_factory.mktemp("shown")

    def run(words, program):
        if program is None:
            process = command_line(*words, cwd=folder)
        else:
            (folder / "program.py").write_text(program)
            process = command_line(cwd=folder, module="program")
        assert process.returncode == 0, f"vae-lab {' '.join(words)}: {process.stderr}"
        return process.stdout

    pages = documents.Pages(run)
    pages.train()
    documents.put_files(folder)
    return pages


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_come_out_as_they_stand(page, shown):
    for step in documents.steps(page):
        if not step.cost:
            assert shown.differences(step, shown.printed(step), documents.nearly) == []


def test_what_a_command_prints_is_found_line_by_line():
    block = documents.Block(REPOSITORY / "README.md", 0, "", [], [])
    lines = ["ELBO  -1.23  nats", "...", "speed  1,000  samples/s"]
    step = documents.Step(block, "vae-lab train", dict(enumerate(lines)))
    pages = documents.Pages(lambda words, program: "")
    assert pages.differences(step, ["ELBO -1.23 nats", "other", "speed  7  samples/s"]) == []
    assert pages.differences(step, ["ELBO -1.24 nats", "speed  7  samples/s"]) == ["README.md:1: " + lines[0]]
    assert documents.updated(step, ["ELBO -1.24 nats", "speed  7  samples/s"]) == {
        0: "ELBO -1.24 nats",
        2: "speed  7  samples/s",
    }


def test_a_column_of_times_is_not_compared():
    block = documents.Block(REPOSITORY / "README.md", 0, "", [], [])
    step = documents.Step(block, "", dict(enumerate(["estimator variance ms", "rloo  0.1 ±2 %  1.30"])))
    pages = documents.Pages(lambda words, program: "")
    assert pages.differences(step, ["estimator variance ms", "rloo  0.1 ±2 %  9.99"]) == []
    assert pages.differences(step, ["estimator variance ms", "rloo  0.2 ±2 %  1.30"])


def test_numbers_may_round_otherwise_on_another_processor_but_signatures_may_not():
    assert documents.nearly("AUROC 0.638 ± 0.047", "AUROC 0.652 ± 0.049")
    assert documents.nearly("rloo 1.19e-05", "rloo 1.21e-05")
    assert not documents.nearly("AUROC 0.638", "AUROC 0.680")
    assert not documents.nearly("ELBO -23.38 of 8", "ELBO -23.38 of 7")
    assert not documents.nearly("in outputs/runs/285b4cd9f55f", "in outputs/runs/285b4cd9f550")
    assert not documents.nearly("test ELBO -23.38", "test elbo -23.38")


def test_the_table_of_estimators_is_that_of_their_classes():
    assert estimator_table.PAGE.read_text() == estimator_table.page()
