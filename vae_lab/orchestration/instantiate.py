"""From configuration to objects: the one place that calls Hydra's instantiate."""

import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_type_hints

from hydra.errors import InstantiationException
from hydra.utils import get_object
from hydra.utils import instantiate as hydra_instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from typeguard import CollectionCheckStrategy, TypeCheckError, check_type

from vae_lab.errors import UserError, did_you_mean


def instantiate(node: Any, key: str, **arguments: Any) -> Any:
    """Builds what a configuration node describes, its values checked against the target's annotations.

    Args:
        node: A node with a `_target_`.
        key: Its dotted key, for messages; "" for the root.
        arguments: Further arguments of the target.

    Raises:
        UserError: If a key is unknown, a value has the wrong type, or the target refuses its arguments.
    """
    node = OmegaConf.create(node) if isinstance(node, dict) else node
    check(node, key, given=arguments)
    try:
        return hydra_instantiate(node, **arguments, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, UserError):
            raise cause from None
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


def _below(key: str, name: Any) -> str:
    return f"{key}.{name!s}" if key else str(name)


def check(node: Any, key: str, given: Iterable[str] = ()) -> None:
    """Checks the keys and the types of a node with a `_target_`, and of those below it."""
    target = _target(node, key)
    annotations = _annotations(target)
    parameters = inspect.signature(target).parameters
    values = _resolved(node, key)
    for name in node:
        if str(name).startswith("_") and str(name).endswith("_"):
            continue
        full_key = _below(key, name)
        if name not in parameters:
            raise UserError(unknown_key(full_key, parameters))
        if isinstance(node[name], DictConfig) and "_target_" in node[name]:
            check(node[name], full_key, given=_ANY)
        elif _holds_nodes(node[name]):
            for part in node[name]:
                check(node[name][part], f"{full_key}.{part!s}")
        elif name in annotations:
            _check_type(values[name], annotations[name], full_key)
    _check_missing(parameters.values(), node, key, given)


def unknown_key(full_key: str, known: Iterable[str]) -> str:
    """The message for a key that does not exist, with the nearest that does and all there are.

    Example:
        >>> unknown_key("model.latnt_dim", ["latent_dim", "encoder"])
        'model.latnt_dim does not exist; did you mean latent_dim? There are: encoder, latent_dim.'
    """
    names = sorted(str(name) for name in known if not str(name).startswith("_"))
    return f"{full_key} does not exist{did_you_mean(full_key.rsplit('.', 1)[-1], names)}"


class _Everything(tuple):
    """Stands for arguments that only the caller of a partial target knows."""

    __slots__ = ()

    def __contains__(self, name: object) -> bool:
        return True


_ANY = _Everything()


def _resolved(node: DictConfig, key: str) -> dict[str, Any]:
    for name in node:
        if OmegaConf.is_missing(node, name):
            raise UserError(f"{_below(key, name)} must be given.")
    try:
        values = OmegaConf.to_container(node, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(f"{key or 'the configuration'}: {str(error).splitlines()[0]}") from error
    assert isinstance(values, dict)
    return {str(name): value for name, value in values.items()}


def _holds_nodes(value: Any) -> bool:
    """Whether it is a mapping from names to nodes, such as the parts of a baseline."""
    return isinstance(value, DictConfig) and any(
        isinstance(value[name], DictConfig) and "_target_" in value[name] for name in value
    )


def makes(node: Any, key: str, *kinds: type) -> bool:
    """Whether a node's target is one of the classes, or a class of theirs.

    Raises:
        UserError: If the node has no target, or one that cannot be imported.
    """
    target = _target(node, key)
    return isinstance(target, type) and issubclass(target, kinds)


def parameters_of(node: Any, key: str) -> set[str]:
    """The names of the arguments that a node's target takes.

    Raises:
        UserError: If the node has no target, or one that cannot be imported.
    """
    return set(inspect.signature(_target(node, key)).parameters)


def _target(node: Any, key: str) -> Callable[..., Any]:
    if not isinstance(node, DictConfig | dict) or "_target_" not in node:
        raise UserError(f"{key} must be one of its group's options, got {node!r}.")
    try:
        return get_object(node["_target_"])
    except Exception as error:
        raise UserError(f"{key}._target_ names nothing that can be imported: {node['_target_']}.") from error


def _annotations(target: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(target.__init__ if inspect.isclass(target) else target)
    except Exception:  # a third party's annotation that cannot be evaluated is no mistake of the user's
        return {}


def _check_type(value: Any, annotation: Any, full_key: str) -> None:
    allowed = (annotation, *typing.get_args(annotation))
    stray_bool = (
        isinstance(value, bool) and bool not in allowed and Any not in allowed
    )  # Python's True is an int
    fits = _fits(value, annotation) or (isinstance(value, list) and _fits(tuple(value), annotation))
    if not fits and isinstance(value, str) and _is_mapping(annotation):
        raise UserError(f"{full_key} is a group of options: write {full_key.replace('.', '/')}={value}.")
    if stray_bool or not fits:
        raise UserError(f"{full_key} must be {_describe(annotation)}, got {value!r}.")


def _is_mapping(annotation: Any) -> bool:
    kinds = (annotation, *typing.get_args(annotation))
    return any(typing.get_origin(kind) is Mapping for kind in kinds)


def _fits(value: Any, annotation: Any) -> bool:
    try:
        check_type(value, annotation, collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS)
    except TypeCheckError:
        return False
    return True


def _describe(annotation: Any) -> str:
    """An annotation in words: the choices of a Literal, or the type's name."""
    choices = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return ("one of " if len(choices) > 1 else "") + ", ".join(map(str, choices))
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return " or ".join(_describe(choice) for choice in choices)
    if annotation is type(None):
        return "null"
    origin = typing.get_origin(annotation)
    if origin is not None and choices:
        return (
            f"{getattr(origin, '__name__', origin)} of {', '.join(_describe(choice) for choice in choices)}"
        )
    return getattr(annotation, "__name__", str(annotation))


def _check_missing(
    parameters: Iterable[inspect.Parameter], node: DictConfig, key: str, given: Iterable[str]
) -> None:
    if node.get("_partial_", False):
        return
    for parameter in parameters:
        variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        required = parameter.default is parameter.empty and not variadic
        if required and parameter.name not in node and parameter.name not in given:
            raise UserError(f"{_below(key, parameter.name)} is required by {node._target_}.")
