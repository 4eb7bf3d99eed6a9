"""From configuration to objects: the one place that calls Hydra's instantiate."""

import copy
from collections.abc import Iterator
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate as hydra_instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf

from vae_lab.config import trust
from vae_lab.config.check_node import below, check_complete, check_kind, check_node
from vae_lab.config.too_large import too_large
from vae_lab.errors import UserError


def instantiate(node: Any, key: str, kind: Any = Any, **arguments: Any) -> Any:
    """Builds what a configuration node describes, its values checked against the target's annotations.

    Args:
        node: A node with a `_target_`.
        key: Its dotted key, for messages; "" for the root.
        kind: The class, or a union of classes, of what it must describe.
        arguments: Further arguments of the target.

    Raises:
        UserError: If the target is not allowed or of another kind, a key is unknown, a value has the wrong
            type, or the target refuses its arguments.
    """
    node = _with_moved(OmegaConf.create(node) if isinstance(node, dict) else node)
    check_kind(node, key, kind)
    check_node(node, key)
    check_complete(node, key, given=arguments)
    try:
        return hydra_instantiate(node, **arguments, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, UserError):
            raise cause from None
        if (message := too_large(cause)) is not None:
            raise UserError(f"{key}: {message}" if key else message) from error
        if isinstance(cause, ValueError | TypeError | ImportError | OSError):
            raise UserError(named(cause, *_refused(error, key, node))) from error
        raise


def _refused(error: InstantiationException, key: str, node: DictConfig) -> tuple[str, Any]:
    """The key and the node whose target refused its arguments: this one, or one below it."""
    _, known, full_key = str(error).rpartition("full_key: ")
    below = full_key.removeprefix(f"{key}." if key else "")
    is_below = bool(known) and (below != full_key or not key)
    return (full_key, OmegaConf.select(node, below)) if is_below else (key, node)


def named(error: BaseException, key: str, node: Any) -> str:
    """An error's message with the full key of the argument that it begins with, or else of its node."""
    text = str(error)
    name = text.split(" ", 1)[0].split(".")[0]
    if not key:
        return text
    return f"{key}.{text}" if name in node else f"{key}: {text}"


def _with_moved(node: Any) -> Any:
    """The node with targets of this version where they are of an earlier one; a copy if there are some."""
    old = list(_targets_moved(node))
    if not old:
        return node
    node = copy.deepcopy(node)
    OmegaConf.set_readonly(node, False)
    for path in old:
        owner = OmegaConf.select(node, path) if path else node
        owner["_target_"] = trust.moved(owner["_target_"])
    return node


def _targets_moved(node: Any, path: str = "") -> Iterator[str]:
    """The paths in a node to those whose target is another's now."""
    if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
        target = str(node._get_node("_target_")) if "_target_" in node else ""
        if trust.moved(target) != target:
            yield path
        for name in node:
            yield from _targets_moved(node._get_node(name), below(path, name))
    elif isinstance(node, ListConfig) and not node._is_none() and not node._is_missing():
        for place in range(len(node)):
            yield from _targets_moved(node._get_node(place), f"{path}[{place}]")
