"""Words that Hydra's grammar does not have, with what to write instead."""

import re
from collections.abc import Iterator, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, OverrideParseException

from vae_lab.config.overrides import quoted

RUN = re.compile(r"(?:\S*/)?[0-9a-f]{12}/?")
CLOSING = {"[": "]", "{": "}", "(": ")"}


def malformed(error: OverrideParseException, words: Sequence[str]) -> str:
    """The message for an override that cannot be read.

    Args:
        error: What Hydra says of it.
        words: The command line.
    """
    word = str(error.override)
    position = list(words).index(word) if word in words else len(words)
    for reason, fix in _fixes(word, words[:position], words[position + 1 :]):
        if fix != word and _is_read(fix):
            return f"{word} cannot be read: {reason}; write {_for_shell(fix)}."
    if RUN.fullmatch(word):
        return f"{word} cannot be read: a key is missing; write run={word}."
    if re.fullmatch(r"[\w./@+]+", word):
        return f"{word} needs a value; write {word}=VALUE."
    return f"{word} cannot be read: {_reason(error)}"


def _fixes(word: str, before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Pairs of a fault that a word may have and the right word, the likeliest first."""
    value = next((other for other in after if other != "="), "")
    if (parts := re.fullmatch(r"([\w./]+)(?: *= *| +)(\S+)", word)) and " " in word:
        yield "a key, = and a value are one word", f"{parts[1]}={parts[2]}"
    if "=" not in word and not value.startswith("-") and "=" not in value.lstrip("="):
        yield "a key, = and a value are one word", f"{word}={value.removeprefix('=')}" if value else word
    if before and before[-1].endswith("="):
        yield "a key, = and a value are one word", f"{before[-1]}{word}"
    if _open(word):
        whole = word
        for other in after:
            whole += f" {other}" if _open(whole) else ""
        if not _open(whole):
            yield "a list is one word", whole
        for text in (word, whole):
            yield "a bracket is not closed", text + _open(text)
    yield "a value with such characters is in quotes", _in_quotes(word)


def _reason(error: OverrideParseException) -> str:
    message = " ".join(line.strip() for line in str(error.message).splitlines() if line.strip())
    return message.removesuffix(f"Error parsing override '{error.override}'") or "not of the form key=value."


def _open(text: str) -> str:
    """The brackets that are still to be closed, in their order; empty where one closes what is not open."""
    expected: list[str] = []
    for character in text:
        if character in CLOSING:
            expected.insert(0, CLOSING[character])
        elif character in CLOSING.values():
            if expected[:1] != [character]:
                return ""
            expected.pop(0)
    return "".join(expected)


def _in_quotes(word: str) -> str:
    key, equals, value = word.partition("=")
    return f"{key}={quoted(value)}" if equals and value else ""


def _is_read(word: str) -> bool:
    try:
        OverridesParser.create().parse_override(word)
    except HydraException:
        return False
    return True


def _for_shell(word: str) -> str:
    """An override as the shell takes it."""
    escaped = re.sub(r'([\\"$`])', r"\\\1", word)
    return f'"{escaped}"' if escaped != word or re.search(r"['\s]", word) else word
