"""Conditions on runs in words, such as `model.latent_dim>2`."""

import json
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Literal, NamedTuple

import yaml

from vae_lab.config.commands import COMMANDS
from vae_lab.config.options import options_of
from vae_lab.errors import UserError, did_you_mean, nearest_name, shortened
from vae_lab.runs.choices import ROOTS
from vae_lab.runs.record import STATUSES, Record

ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CONDITION = re.compile(r"([^=<>!]+)(==|!=|<=|>=|=|<|>)(.*)", re.DOTALL)
_COMMA = re.compile(r",(?![^\[{]*[\]}])")  # outside of brackets

Kind = Literal["number", "yes or no", "time", "list", "text"]


class Condition(NamedTuple):
    """A condition on one entry of a run.

    Args:
        text: As it was typed.
        key: Of the entry.
        comparison: `=`, `!=`, `<`, `<=`, `>` or `>=`.
        values: The words after it: one, or several of which one must hold.
    """

    text: str
    key: str
    comparison: str
    values: list[str]


def is_condition(word: str) -> bool:
    """Whether a word has the form of a condition."""
    return _CONDITION.fullmatch(word) is not None


def condition(word: str) -> Condition:
    """The condition that a word stands for.

    Raises:
        UserError: If the word has no comparison, or no value.

    Example:
        >>> condition("seed=0,1").values
        ['0', '1']
    """
    match = _CONDITION.fullmatch(word)
    if match is None:
        word = shortened(word)
        raise UserError(
            f"{word} is no condition; write {word}=VALUE, or '{word}>VALUE' in quotes, without which a shell "
            "reads < and > as its own."
        )
    key, comparison, values = match[1].strip(), match[2].replace("==", "="), match[3].strip()
    if not values:
        raise UserError(f"{word} needs a value; write {key}{comparison}VALUE.")
    return Condition(word, key, comparison, [value.strip() for value in _COMMA.split(values)])


def matching(records: Sequence[Record], words: Iterable[str]) -> list[Record]:
    """The runs for which all conditions hold; one does not hold where its key is missing.

    Raises:
        UserError: If a word is no condition, no run has its key, or its value is of another kind.
    """
    entries = [record.entries for record in records]
    tests = [_test(condition(word), entries) for word in words]
    return [
        record
        for record, its in zip(records, entries, strict=True)
        if all(key in its and holds(its[key]) for key, holds in tests)
    ]


def _test(asked: Condition, entries: Sequence[dict[str, Any]]) -> tuple[str, Callable[[Any], bool]]:
    """The key of a condition, and whether its value holds."""
    known = dict.fromkeys(key for each in entries for key in each)
    if entries and asked.key not in known:
        raise _unknown_key(asked, list(known))
    present = [each[asked.key] for each in entries if each.get(asked.key) is not None]
    kind = _kind(present)
    wanted = [None if word == "null" else _read(asked, word, kind) for word in asked.values]
    if asked.comparison in ORDERS and present:
        return asked.key, _ordered(asked, kind, wanted)
    if kind == "text":
        _check_name(asked, {str(value) for value in present})
    is_wanted = asked.comparison == "="
    return asked.key, lambda value: (_plain(value, kind) in wanted) == is_wanted


def _ordered(asked: Condition, kind: Kind, wanted: Sequence[Any]) -> Callable[[Any], bool]:
    compare = ORDERS[asked.comparison]
    if kind not in ("number", "time"):
        raise UserError(f"{asked.text}: {asked.key} is no number, which {asked.comparison} compares; use =.")
    if len(wanted) > 1 or wanted[0] is None:
        raise UserError(f"{asked.text}: {asked.comparison} compares with one value; write one, or use =.")
    return lambda value: value is not None and compare(value, wanted[0])


def _kind(values: Iterable[Any]) -> Kind:
    """The kind of the values that runs have."""
    kinds = {type(value) for value in values}
    if kinds and kinds <= {int, float}:
        return "number"
    if kinds == {bool}:
        return "yes or no"
    if kinds == {datetime}:
        return "time"
    return "list" if kinds and kinds <= {list, dict} else "text"


def _plain(value: Any, kind: Kind) -> Any:
    """A value of a run as those of a condition are read."""
    if value is None or kind in ("number", "yes or no", "time"):
        return value
    return json.dumps(value, sort_keys=True) if isinstance(value, list | dict) else _text(value)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read(asked: Condition, word: str, kind: Kind) -> Any:
    """The value of a word.

    Raises:
        UserError: If it is of another kind than those of the runs.
    """
    with suppress(ValueError, KeyError, yaml.YAMLError):
        return _READ[kind](word)
    raise UserError(f"{asked.text}: {asked.key} must be {_IN_WORDS[kind]}, got {word}.")


def _number(word: str) -> float:
    return int(word) if re.fullmatch(r"[+-]?\d+", word) else float(word)


def _time(word: str) -> datetime:
    return datetime.fromisoformat(word).astimezone()


def _list(word: str) -> str:
    if not isinstance(value := yaml.safe_load(word), list | dict):
        raise ValueError
    return json.dumps(value, sort_keys=True)


_READ: dict[Kind, Callable[[str], Any]] = {
    "number": _number,
    "yes or no": {"true": True, "false": False}.__getitem__,
    "time": _time,
    "list": _list,
    "text": lambda word: word.strip("'\""),
}
_IN_WORDS: dict[Kind, str] = {
    "number": "a number",
    "yes or no": "true or false",
    "time": "a day or a time such as 2026-01-31 or 2026-01-31T12:00",
    "list": "a list such as [128]",
}


def _check_name(asked: Condition, present: set[str]) -> None:
    """Raises `UserError` if a value of a group, a command or a status is the name of none."""
    names = _names(asked.key)
    for word in asked.values:
        if names and word not in {*names, *present, "null"}:
            raise UserError(f"{asked.text}: {word} is not a value of {asked.key}{did_you_mean(word, names)}")


def _names(key: str) -> Sequence[str]:
    """The values that a key may have, where all are known."""
    if key == "status":
        return STATUSES
    if key == "command":
        return [name for name, command in COMMANDS.items() if command.has_configuration]
    return options_of(key) if key.partition("/")[0] in ROOTS else ()


def _unknown_key(asked: Condition, known: Sequence[str]) -> UserError:
    """The error for a key that no run has."""
    last = [key for key in known if re.split(r"[./]", key)[-1] == asked.key]
    meant = last[:3] or nearest_name(asked.key, known)
    hint = did_you_mean(asked.key, known, meant) if meant else "; vae-lab runs show RUN lists those of a run."
    return UserError(f"{asked.text}: no run here has {asked.key}{hint}")
