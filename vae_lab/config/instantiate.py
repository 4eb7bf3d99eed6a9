"""From configuration to objects: the one place that calls Hydra's instantiate."""

import copy
import inspect
import types
import typing
from collections import ChainMap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, get_type_hints

from hydra.errors import InstantiationException
from hydra.utils import instantiate as hydra_instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from typeguard import CollectionCheckStrategy, TypeCheckError, check_type

from vae_lab.config import trust
from vae_lab.config.ranges import check_range
from vae_lab.config.too_large import too_large
from vae_lab.errors import UserError, did_you_mean, shortened

SPECIAL = ("_target_", "_partial_", "_recursive_")  # keys that are no arguments


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
    _check_kind(node, key, kind)
    check(node, key, given=arguments)
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
            yield from _targets_moved(node._get_node(name), _below(path, name))
    elif isinstance(node, ListConfig) and not node._is_none() and not node._is_missing():
        for place in range(len(node)):
            yield from _targets_moved(node._get_node(place), f"{path}[{place}]")


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
    parameters = _parameters(target)
    of_package = str(node["_target_"]).startswith("vae_lab.")
    takes_more = not of_package and any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    values = _resolved(node, key)
    for name in node:
        full_key = _below(key, name)
        _check_final(values[str(name)], full_key)
        if str(name).startswith("_") and str(name).endswith("_"):
            _check_special(name, values[name], full_key)
            continue
        if name not in parameters and not takes_more:
            raise UserError(unknown_key(full_key, parameters))
        annotation = annotations.get(name, Any)
        if _is_node(node[name]):
            _check_kind(node[name], full_key, annotation)
            check(node[name], full_key, given=_ANY)
        elif _holds_nodes(node[name]):
            _check_nodes(node[name], annotation, full_key)
        elif name in annotations:
            _check_type(values[name], annotation, full_key)
        if not _holds_nodes(node[name]) and not _is_node(node[name]):
            check_range(values[name], str(name), full_key, of_package)
    _check_missing(parameters.values(), node, key, given)


def _check_final(value: Any, full_key: str) -> None:
    """Raises `UserError` for a text that would be resolved once more, unchecked, before the call."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        _check_final(name, full_key)
        _check_final(item, _below(full_key, name))
    if isinstance(value, str) and "${" in value:
        raise UserError(f"{full_key} must hold no ${{ once its interpolations are resolved, got {value}.")


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


def _is_node(value: Any) -> bool:
    return isinstance(value, DictConfig) and "_target_" in value


def _holds_nodes(value: Any) -> bool:
    """Whether there are nodes in a mapping or a list, such as the parts of a baseline, at any depth."""
    return any(_is_node(item) or _holds_nodes(item) for item in _items(value).values())


def _items(value: Any) -> dict[Any, Any]:
    names = value if isinstance(value, DictConfig) else range(len(value) if _is_list(value) else 0)
    return {name: value[name] for name in names if not OmegaConf.is_missing(value, name)}


def _is_list(value: Any) -> bool:
    return isinstance(value, ListConfig)


def _check_nodes(value: Any, annotation: Any, key: str) -> None:
    """Checks the nodes in a mapping or a list, which must be of the kind that it is annotated to hold."""
    kinds = _elements(annotation)
    if not kinds:
        raise UserError(f"{key} must be {_describe(annotation)}, and holds a node with _target_.")
    for name, item in _items(value).items():
        if _is_node(item):
            _check_kind(item, _below(key, name), typing.Union[kinds])  # noqa: UP007 - of a tuple
            check(item, _below(key, name))
        elif _holds_nodes(item):
            _check_nodes(item, typing.Union[kinds], _below(key, name))  # noqa: UP007


def _elements(annotation: Any) -> tuple[Any, ...]:
    """What a mapping or a sequence of an annotation holds, where that may be more than plain values."""
    choices = _choices(annotation)
    held = [kind for choice in choices if _is_collection(choice) for kind in typing.get_args(choice)[-1:]]
    return (Any,) if Any in choices else tuple(kind for kind in held if kind not in (Any, ...))


def _is_collection(annotation: Any) -> bool:
    origin = typing.get_origin(annotation)
    return isinstance(origin, type) and issubclass(origin, Collection)


def _choices(annotation: Any) -> tuple[Any, ...]:
    is_union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return typing.get_args(annotation) if is_union else (annotation,)


def _check_special(name: str, value: Any, key: str) -> None:
    if name not in SPECIAL:
        raise UserError(f"{key} must be left out: arguments are given by their names.")
    if name != "_target_" and not isinstance(value, bool):
        raise UserError(f"{key} must be true or false, got {value!r}.")


def _check_kind(node: Any, key: str, kind: Any) -> None:
    """Checks that a node describes what is asked for, before it is called."""
    target = _target(node, key)
    makes_it = _makes_partially if node.get("_partial_", False) else _makes
    if not any(makes_it(target, choice) for choice in _choices(kind)):
        raise UserError(
            f"{key or '_target_'} must be {_describe(kind)}, got a node with _target_={node._target_}."
        )


def _makes(target: Callable[..., Any], kind: Any) -> bool:
    made = target if isinstance(target, type) else _annotations(target).get("return")
    if kind is Any:
        return True
    return isinstance(kind, type) and all(_is_kind_of(choice, kind) for choice in _choices(made))


def _is_kind_of(made: Any, kind: type) -> bool:
    try:
        return isinstance(made, type) and issubclass(made, kind)
    except TypeError:  # a protocol, whose methods cannot be looked for
        return True


def _makes_partially(target: Callable[..., Any], kind: Any) -> bool:
    made = typing.get_args(kind)[-1:]
    return kind is Any or (typing.get_origin(kind) is Callable and all(_makes(target, each) for each in made))


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
    return set(_parameters(_target(node, key)))


def _target(node: Any, key: str) -> Callable[..., Any]:
    if not isinstance(node, DictConfig | dict) or "_target_" not in node:
        raise UserError(f"{key} must be one of its group's options, got {shortened(repr(node))}.")
    return trust.find(node["_target_"], key)


def _parameters(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters of a callable; for a class with `**settings` also those that its bases name."""
    found = dict(inspect.signature(target).parameters)
    for constructor in _constructors(target)[1:]:
        for name, parameter in inspect.signature(constructor).parameters.items():
            if name != "self" and parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
                found.setdefault(name, parameter.replace(kind=parameter.KEYWORD_ONLY, default=None))
    return found


def _constructors(target: Callable[..., Any]) -> list[Callable[..., Any]]:
    """A callable, or the `__init__` of a class and those to which it may pass `**settings` on."""
    if not isinstance(target, type):
        return [target]
    found: list[Callable[..., Any]] = []
    for each in target.__mro__:
        if constructor := vars(each).get("__init__"):
            found.append(constructor)
            kinds = [parameter.kind for parameter in inspect.signature(constructor).parameters.values()]
            if inspect.Parameter.VAR_KEYWORD not in kinds:
                break
    return found


def _annotations(target: Callable[..., Any]) -> dict[str, Any]:
    try:
        of_each = [get_type_hints(constructor) for constructor in _constructors(target)]
    except Exception:  # a third party's annotation that cannot be evaluated is no mistake of the user's
        return {}
    return dict(ChainMap(*of_each))


def _check_type(value: Any, annotation: Any, full_key: str) -> None:
    allowed = (annotation, *typing.get_args(annotation))
    stray_bool = (
        isinstance(value, bool) and bool not in allowed and Any not in allowed
    )  # Python's True is an int
    fits = _fits(value, annotation) or (isinstance(value, list) and _fits(tuple(value), annotation))
    if not fits and isinstance(value, str) and _is_mapping(annotation):
        raise UserError(f"{full_key} is a group of options: write {full_key.replace('.', '/')}={value}.")
    if stray_bool or not fits:
        raise UserError(f"{full_key} must be {_describe(annotation)}, got {shortened(repr(value))}.")


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
