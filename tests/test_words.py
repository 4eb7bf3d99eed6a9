"""Words: how docstrings begin, how messages are put, and that a public name stands for one thing."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
OURS = ("vae_lab", "hydra_plugins")
SOURCES = {
    str(path.relative_to(ROOT)): ast.parse(path.read_text())
    for folder in (*OURS, "benchmarks", "tests")
    for path in sorted((ROOT / folder).rglob("*.py"))
}
PACKAGE = {name: tree for name, tree in SOURCES.items() if name.startswith(OURS)}

DEFINITIONS = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

# A clause begins with the text, after a mark, or after a conjunction.
CLAUSE = (
    r"(?:^\s*|[.:;,(]\s+|\b(?:and|but|or|so|since|as|if|because|while|where|when|whose|unless|until|than|that"
    r"|what|which|how|whether|before|after|though)\s+)"
)
# `it` and `they` are pronouns anywhere; `this` and `these` only before a verb, as `this model` is none.
AUXILIARY = r"must|may|might|can|cannot|could|did|had|will|would|should"
SUBJECT = (
    r"(?:it|they|he|she)\s+[a-z{]"
    rf"|(?:this|that)\s+(?:{AUXILIARY}|made|was|(?!its\b|\w+ss\b)\w+s)\b"
    rf"|(?:these|those)\s+(?:{AUXILIARY}|are|were|have|do|need|miss|lack|hold|make|take)\b"
)
PRONOUN = re.compile(f"{CLAUSE}(?:{SUBJECT})", re.I)
IMPERATIVE = re.compile(r"\bsay\s+[\w.{}]+=", re.I)

OLD_NAMES = {
    "Rows", "some_of", "all_of", "noise_law", "Law", "BernoulliLaw", "CategoricalLaw", "DiscreteLaw",
    "Pixels", "Conditional", "Use", "OfRunConfig", "OfObserved", "Filled", "Plan", "Prepared", "Parts",
    "Line", "Board", "put", "check_place", "SelfFitting", "Alternative", "describes_pixels",
    "needs_amortization", "couples_data", "keeps_data", "OF_TRAINING", "OF_TRAININGS", "OF_CODES",
    "MISS", "AFRESH", "PASSING", "FEW", "TIMED",
}  # fmt: skip
OF_COMMANDS = {"main", "check"}  # each command has its own


def docstrings(tree: ast.Module) -> Iterator[tuple[int, ast.Constant]]:
    """Line and node of each docstring."""
    for node in ast.walk(tree):
        first = node.body[0] if isinstance(node, DEFINITIONS) and node.body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            yield first.lineno, first.value


def texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of each string that is no docstring; values of an f-string are `{}`."""
    inner = {id(constant) for _, constant in docstrings(tree)}
    inner |= {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if id(node) in inner:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        elif isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
            yield node.lineno, "".join(map(str, parts))


def names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and name of whatever is defined, assigned, imported, or an argument."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.lineno, node.name
        elif isinstance(node, ast.Name):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute):
            yield node.lineno, node.attr
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg


def is_awkward(text: str) -> bool:
    """Whether a message has a pronoun for a subject, or asks to "say" a setting."""
    return bool(PRONOUN.search(text) or IMPERATIVE.search(text))


def test_docstrings_begin_with_a_noun_or_a_verb():
    found = [
        f"{name}:{line}"
        for name, tree in SOURCES.items()
        for line, constant in docstrings(tree)
        if str(constant.value).lstrip().startswith("What ")
    ]
    assert not found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{} cannot be read: it has no key.", True),
        ("{}: this needs q(z|x).", True),
        ("{}: these miss pixels", True),
        ("estimator: it {} itself", True),
        ("{} must be left out, as it has no effect.", True),
        ("Delete the file, or say rerun=true.", True),
        ("{} grows, but they cannot.", True),
        ("{} needs q(z|x), and this model has none; leave it out.", False),
        ("pass rerun=true to replace it.", False),
        ("estimator=wake_sleep needs an amortised encoder: its sleep phase encodes generated data.", False),
        ("choose a folder for this run", False),
    ],
)
def test_what_counts_as_awkward(text, expected):
    assert is_awkward(text) == expected


def test_messages_name_their_subjects():
    found = [
        f"{name}:{line}: {text}"
        for name, tree in PACKAGE.items()
        for line, text in texts(tree)
        if is_awkward(text)
    ]
    assert not found


def test_names_that_were_replaced_do_not_return():
    found = [
        f"{name}:{line}: {word}"
        for name, tree in PACKAGE.items()
        for line, word in names(tree)
        if word in OLD_NAMES
    ]
    assert not found


def options_of_groups() -> set[str]:
    """Dotted names of the classes that are options of configuration groups."""

    def targets(node: object) -> Iterator[str]:
        if isinstance(node, dict):
            if isinstance(target := node.get("_target_"), str):
                yield target
            node = list(node.values())
        if isinstance(node, list):
            for each in node:
                yield from targets(each)

    files = (ROOT / "conf").rglob("*.yaml")
    return {target for path in files for target in targets(yaml.safe_load(path.read_text()))}


def packages(module: str) -> list[str]:
    """A module and the packages that it is in, any of which may give its classes."""
    parts = module.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


def test_a_public_name_stands_for_one_thing():
    options = options_of_groups()
    definitions = defaultdict(list)
    for path, tree in PACKAGE.items():
        module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for node in tree.body:
            if not isinstance(node, (ast.ClassDef, ast.FunctionDef)) or node.name.startswith("_"):
                continue
            is_command = module.startswith("vae_lab.cli.") and node.name in OF_COMMANDS
            is_option = any(f"{package}.{node.name}" in options for package in packages(module))
            if not (is_command or is_option):
                definitions[node.name].append(module)
    assert {name: modules for name, modules in definitions.items() if len(modules) > 1} == {}
