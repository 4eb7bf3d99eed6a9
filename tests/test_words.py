"""Words: how docstrings begin, how messages speak, and that a public name stands for one thing."""

import ast
import re
from collections import Counter

import pytest
from conftest import REPOSITORY
from test_rooms import SOURCES

FOLDERS = ("vae_lab", "hydra_plugins", "benchmarks", "tests")
TREES = {
    str(path.relative_to(REPOSITORY)): ast.parse(path.read_text())
    for folder in FOLDERS
    for path in sorted((REPOSITORY / folder).rglob("*.py"))
}
PRODUCT = {name: tree for name, tree in TREES.items() if name.startswith(("vae_lab", "hydra_plugins"))}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)

VERBS = "is|are|was|were|has|have|had|must|may|can|cannot|would|will|needs?|knows?|gives?|lacks?"
PRONOUN_AS_SUBJECT = re.compile(
    r"(?:^|[.:;,(] |\b(?:and|but|or|so|that|what|how|if|as|since|because|when|while|until|unless|where) )"
    rf"(?:(?:it|they|he) (?:{VERBS}|[a-z]+s)|(?:this|these|those|that) (?:{VERBS})) ",
    re.IGNORECASE,
)
SAID = re.compile(r"\bsay [a-z_.]+=")
GONE = {  # names of before the move, which no identifier has again
    "AFRESH", "Alternative", "BernoulliLaw", "Board", "CategoricalLaw", "Conditional", "DiscreteLaw", "FEW",
    "Filled", "MISS", "NotFound", "OF_CODES", "OF_TRAINING", "OF_TRAININGS", "OfObserved", "OfRunConfig",
    "PASSING", "Pixels", "Plan", "Prepared", "SelfFitting", "TIMED", "Use", "all_of", "another",
    "check_place", "couples_data", "describes_pixels", "found", "keeps_data", "law",
    "needs_amortization", "noise_law", "said", "some_of", "what",
}  # fmt: skip


def docstrings(tree):
    """Each docstring of a module, with the node that it is of."""
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and (text := ast.get_docstring(node)):
            yield node, text


def texts(tree):
    """Each text of a module that is no docstring, with braces in place of what is put into it."""
    left_out = {id(node.body[0].value) for node, _ in docstrings(tree)}
    for node in ast.walk(tree):
        if id(node) in left_out:
            continue
        if isinstance(node, ast.JoinedStr):
            left_out |= {id(part) for part in node.values}
            yield "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def speaks_in_pronouns(text):
    return PRONOUN_AS_SUBJECT.search(f"{text} ") is not None


@pytest.mark.parametrize(
    "text",
    [
        "estimator: it asks q(z|x) of data",
        "the disk is full; they are lost",
        "x, but it cannot grow",
        "as it has no effect",
    ],
)
def test_a_pronoun_is_found(text):
    assert speaks_in_pronouns(text)


@pytest.mark.parametrize("text", ["needs a q(z|x), and this model has none", "rerun=true does it again."])
def test_a_noun_is_no_pronoun(text):
    assert not speaks_in_pronouns(text)


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_docstring_begins_with_what(folder):
    trees = {name: tree for name, tree in TREES.items() if name.startswith(f"{folder}/")}
    found = [
        (name, text)
        for name, tree in trees.items()
        for _, text in docstrings(tree)
        if text.startswith("What ")
    ]
    assert found == []


def test_messages_have_no_pronoun_as_their_subject():
    found = [
        (name, text) for name, tree in PRODUCT.items() for text in texts(tree) if speaks_in_pronouns(text)
    ]
    assert found == []


def test_messages_pass_keys_and_do_not_say_them():
    found = [(name, text) for name, tree in PRODUCT.items() for text in texts(tree) if SAID.search(text)]
    assert found == []


def test_names_of_before_are_gone():
    def names(tree):
        for node in ast.walk(tree):
            for field in ("id", "name", "attr", "arg"):
                if isinstance(name := getattr(node, field, None), str):
                    yield name

    assert {
        (module, name) for module, tree in PRODUCT.items() for name in names(tree) if name in GONE
    } == set()


def test_a_public_name_stands_for_one_thing():
    """But for options of several groups, such as Gaussian, and the parts of a command."""
    options = "\n".join(path.read_text() for path in (REPOSITORY / "conf").rglob("*.yaml"))
    counts = Counter(
        node.name
        for name, path in SOURCES.items()
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
        and not node.name.startswith("_")
        and not (name.startswith("vae_lab.cli.") and node.name in ("main", "check"))
        and not re.search(rf"_target_: vae_lab\.[\w.]*\b{node.name}(?![\w.])", options)
    )
    assert {name for name, count in counts.items() if count > 1} == set()
