"""Rules on settings: data, each with the key that breaks it and what to say then."""

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, NamedTuple

from vae_lab.errors import UserError


class Rule(NamedTuple):
    """A condition that makes a run impossible.

    Args:
        when: Whether it is, given what the rules of a table are about.
        key: The one that is wrong.
        message: What to say after the key; fields in braces, in the key too, are of what the rules are about.
    """

    when: Callable[[Any], bool]
    key: str
    message: str


def check_rules(rules: Iterable[Rule], **about: Any) -> None:
    """Checks rules in their order.

    Raises:
        UserError: If one is broken, the first; the message begins with its key.

    Example:
        >>> least = Rule(lambda it: it.size < 1, "size", "must be at least 1, got {size}.")
        >>> check_rules([least], size=0)
        Traceback (most recent call last):
        vae_lab.errors.UserError: size must be at least 1, got 0.
    """
    for rule in rules:
        if rule.when(SimpleNamespace(**about)):
            raise UserError(f"{rule.key} {rule.message}".format(**about))


def differs(path: str, value: Any) -> Callable[[Any], bool]:
    """Whether what lies at a dotted path, by attributes or keys, is another value than this."""

    def when(it: Any) -> bool:
        for name in path.split("."):
            it = getattr(it, name)
        return bool(it != value)

    return when
