"""The callable that a node names, its parameters and their annotations."""

import inspect
from collections import ChainMap
from collections.abc import Callable
from typing import Any, get_type_hints

from omegaconf import DictConfig

from vae_lab.config import trust
from vae_lab.errors import UserError, shortened


def target_of(node: Any, key: str) -> Callable[..., Any]:
    """The callable that a node names.

    Raises:
        UserError: If the node has no target, or one that may not or cannot be imported.
    """
    if not isinstance(node, DictConfig | dict) or "_target_" not in node:
        raise UserError(f"{key} must be one of its group's options, got {shortened(repr(node))}.")
    return trust.find_target(node["_target_"], key)


def makes(node: Any, key: str, *kinds: type) -> bool:
    """Whether a node's target is one of the classes, or a class of theirs.

    Raises:
        UserError: If the node has no target, or one that cannot be imported.
    """
    target = target_of(node, key)
    return isinstance(target, type) and issubclass(target, kinds)


def parameters_of(node: Any, key: str) -> set[str]:
    """The names of the arguments that a node's target takes.

    Raises:
        UserError: If the node has no target, or one that cannot be imported.
    """
    return set(all_parameters(target_of(node, key)))


def all_parameters(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters of a callable; for a class with `**settings` also those that its bases name."""
    parameters = dict(inspect.signature(target).parameters)
    for constructor in _constructors(target)[1:]:
        for name, parameter in inspect.signature(constructor).parameters.items():
            if name != "self" and parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
                parameters.setdefault(name, parameter.replace(kind=parameter.KEYWORD_ONLY, default=None))
    return parameters


def annotations(target: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a callable's parameters, and that of its result as `return`."""
    try:
        hints = [get_type_hints(constructor) for constructor in _constructors(target)]
    except Exception:  # a third party's annotation that cannot be evaluated is no mistake of the user's
        return {}
    return dict(ChainMap(*hints))


def _constructors(target: Callable[..., Any]) -> list[Callable[..., Any]]:
    """A callable, or the `__init__` of a class and those to which it may pass `**settings` on."""
    if not isinstance(target, type):
        return [target]
    constructors: list[Callable[..., Any]] = []
    for each in target.__mro__:
        if constructor := vars(each).get("__init__"):
            constructors.append(constructor)
            kinds = [parameter.kind for parameter in inspect.signature(constructor).parameters.values()]
            if inspect.Parameter.VAR_KEYWORD not in kinds:
                break
    return constructors
