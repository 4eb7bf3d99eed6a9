"""The package does now as it did before its modules were moved into rooms.

Configurations, jobs of sweeps, numbers and printed tables are held against `tests/unchanged`, which
`unchanged_data.py` has written. Last digits depend on the machine: where the versions of the libraries and
the processor are those of the stored numbers, all digits must be equal; elsewhere numbers must be so within a
relative 1e-4, and of printed tables the words alone.
"""

import math
import re

import pytest
import unchanged_data as data

HINT = "where a change is meant, write it anew by: python tests/unchanged_data.py"
HERE_AS_STORED = (data.STORED / "machine").read_text().strip() == data.machine()
LINEAR_ALGEBRA = ("model=ppca", "model=gaussian_mixture")  # last digits differ among processors of one kind
NUMBER = re.compile(r"[-+±]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")


def parametrized(kind):
    return pytest.mark.parametrize(("title", "stored"), data.read(kind).items(), ids=data.read(kind))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, command_line):
    return data.Folder(tmp_path_factory.mktemp("unchanged"), command_line)


@pytest.mark.parametrize("kind", data.TITLES)
def test_everything_is_stored(kind):
    assert list(data.read(kind)) == list(data.TITLES[kind]()), HINT


@parametrized("configurations")
def test_configurations(title, stored):
    assert data.configuration(title) == stored, HINT


@parametrized("sweeps")
def test_sweeps(title, stored):
    assert data.sweep(title) == stored, HINT


@parametrized("help")
def test_help(folder, title, stored):
    assert folder.table(title) == stored, HINT


@pytest.mark.slow
@parametrized("numbers")
def test_numbers(folder, title, stored):
    now = folder.numbers(title)
    is_exact = HERE_AS_STORED and not any(word in title for word in LINEAR_ALGEBRA)
    assert now == stored if is_exact else are_close(now, stored), f"{now}\n\nstored:\n{stored}\n\n{HINT}"


@pytest.mark.slow
@parametrized("tables")
def test_tables(folder, title, stored):
    now = folder.table(title)
    if not HERE_AS_STORED:
        now, stored = (NUMBER.sub("0", text) for text in (now, stored))
    assert now == stored, HINT


def are_close(now, stored):
    """Whether the same keys have the same values, numbers within a relative 1e-4."""
    pairs = [text.splitlines() for text in (now, stored)]
    return len(pairs[0]) == len(pairs[1]) and all(map(_is_close, *pairs))


def _is_close(now, stored):
    (key, value), (stored_key, stored_value) = now.split(": ", 1), stored.split(": ", 1)
    if key != stored_key or value == stored_value:
        return key == stored_key
    try:
        return math.isclose(float(value), float(stored_value), rel_tol=1e-4)
    except ValueError:
        return False
