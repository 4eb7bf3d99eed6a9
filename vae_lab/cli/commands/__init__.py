"""Commands of the command line; torch is imported inside the task only."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from vae_lab.config.commands import COMMANDS


def main_of(name: str) -> Callable[..., Any]:
    """The function that carries out a command, with the words of `sys.argv` or a configuration."""
    if COMMANDS[name].module == "application":
        return _module(name).command(name)
    return _module(name).main


def check_of(name: str) -> Callable[[Any], None]:
    """The function that raises `UserError` if a configuration cannot make a result; it writes nothing."""
    check: Callable[[Any], None] = _module(name).check
    return check


def _module(name: str) -> Any:
    return import_module(f"{__name__}.{COMMANDS[name].module}")
