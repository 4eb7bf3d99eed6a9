"""Keys and values of a node against the parameters of its target, before anything is called."""

import typing
from collections.abc import Callable, Iterable
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vae_lab.config.annotations import check_type, choices, describe, elements
from vae_lab.config.ranges import check_range
from vae_lab.config.targets import all_parameters, annotations, target_of
from vae_lab.errors import UserError, did_you_mean

SPECIAL = ("_target_", "_partial_", "_recursive_")  # keys that are no arguments


def check_node(node: Any, key: str) -> None:
    """Checks the keys and the values of a node with a `_target_`, and of those below it.

    Raises:
        UserError: If a target is not allowed or of another kind than it is annotated to be, a key is unknown,
            or a value has the wrong type or is out of its range.
    """
    target = target_of(node, key)
    hints, parameters = annotations(target), all_parameters(target)
    of_package = str(node["_target_"]).startswith("vae_lab.")
    takes_more = not of_package and any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    values = _resolved(node, key)
    for name in node:
        full_key = below(key, name)
        _check_final(values[str(name)], full_key)
        if str(name).startswith("_") and str(name).endswith("_"):
            _check_special(name, values[name], full_key)
            continue
        if name not in parameters and not takes_more:
            raise UserError(no_such_key(full_key, parameters))
        if _is_node(node[name]):
            check_kind(node[name], full_key, hints.get(name, Any))
            check_node(node[name], full_key)  # may be incomplete: its caller gives the other arguments
        elif _holds_nodes(node[name]):
            _check_nodes(node[name], hints.get(name, Any), full_key)
        else:
            if name in hints:
                check_type(values[name], hints[name], full_key)
            check_range(values[name], str(name), full_key, of_package)


def check_complete(node: Any, key: str, given: Iterable[str] = ()) -> None:
    """Raises `UserError` if a node, unless it is partial, lacks an argument that is not `given` either."""
    if node.get("_partial_", False):
        return
    for parameter in all_parameters(target_of(node, key)).values():
        variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        required = parameter.default is parameter.empty and not variadic
        if required and parameter.name not in node and parameter.name not in given:
            raise UserError(f"{below(key, parameter.name)} is required by {node._target_}.")


def check_kind(node: Any, key: str, kind: Any) -> None:
    """Checks that a node describes what is asked for, before it is called."""
    target = target_of(node, key)
    makes_it = _makes_partially if node.get("_partial_", False) else _makes
    if not any(makes_it(target, choice) for choice in choices(kind)):
        raise UserError(
            f"{key or '_target_'} must be {describe(kind)}, got a node with _target_={node._target_}."
        )


def _makes(target: Callable[..., Any], kind: Any) -> bool:
    made = target if isinstance(target, type) else annotations(target).get("return")
    if kind is Any:
        return True
    return isinstance(kind, type) and all(_is_kind_of(choice, kind) for choice in choices(made))


def _makes_partially(target: Callable[..., Any], kind: Any) -> bool:
    made = typing.get_args(kind)[-1:]
    return kind is Any or (typing.get_origin(kind) is Callable and all(_makes(target, each) for each in made))


def _is_kind_of(made: Any, kind: type) -> bool:
    try:
        return isinstance(made, type) and issubclass(made, kind)
    except TypeError:  # a protocol, whose methods cannot be looked for
        return True


def no_such_key(full_key: str, known: Iterable[str]) -> str:
    """The message for a key that does not exist, with the nearest that does and all there are.

    Example:
        >>> no_such_key("model.latnt_dim", ["latent_dim", "encoder"])
        'model.latnt_dim does not exist; did you mean latent_dim? There are: encoder, latent_dim.'
    """
    names = sorted(str(name) for name in known if not str(name).startswith("_"))
    return f"{full_key} does not exist{did_you_mean(full_key.rsplit('.', 1)[-1], names)}"


def _check_final(value: Any, full_key: str) -> None:
    """Raises `UserError` for a text that would be resolved once more, unchecked, before the call."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        _check_final(name, full_key)
        _check_final(item, below(full_key, name))
    if isinstance(value, str) and "${" in value:
        raise UserError(f"{full_key} must hold no ${{ once its interpolations are resolved, got {value}.")


def _check_special(name: str, value: Any, key: str) -> None:
    if name not in SPECIAL:
        raise UserError(f"{key} must be left out: arguments are given by their names.")
    if name != "_target_" and not isinstance(value, bool):
        raise UserError(f"{key} must be true or false, got {value!r}.")


def _resolved(node: DictConfig, key: str) -> dict[str, Any]:
    for name in node:
        if OmegaConf.is_missing(node, name):
            raise UserError(f"{below(key, name)} must be given.")
    try:
        values = OmegaConf.to_container(node, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(f"{key or 'the configuration'}: {str(error).splitlines()[0]}") from error
    assert isinstance(values, dict)
    return {str(name): value for name, value in values.items()}


def _check_nodes(value: Any, annotation: Any, key: str) -> None:
    """Checks the nodes in a mapping or a list, which must be of the kind that it is annotated to hold."""
    kinds = elements(annotation)
    if not kinds:
        raise UserError(f"{key} must be {describe(annotation)}, and holds a node with _target_.")
    for name, item in _items(value).items():
        if _is_node(item):
            check_kind(item, below(key, name), typing.Union[kinds])  # noqa: UP007 - of a tuple
            check_node(item, below(key, name))
            check_complete(item, below(key, name))
        elif _holds_nodes(item):
            _check_nodes(item, typing.Union[kinds], below(key, name))  # noqa: UP007


def _is_node(value: Any) -> bool:
    return isinstance(value, DictConfig) and "_target_" in value


def _holds_nodes(value: Any) -> bool:
    """Whether there are nodes in a mapping or a list, such as the parts of a baseline, at any depth."""
    return any(_is_node(item) or _holds_nodes(item) for item in _items(value).values())


def _items(value: Any) -> dict[Any, Any]:
    """The items of a mapping by their names, or of a list by their places; of another value none."""
    if not isinstance(value, DictConfig | ListConfig):
        return {}
    names: Iterable[Any] = value if isinstance(value, DictConfig) else range(len(value))
    return {name: value[name] for name in names if not OmegaConf.is_missing(value, name)}


def below(key: str, name: Any) -> str:
    """The dotted key of a name within a key."""
    return f"{key}.{name!s}" if key else str(name)
