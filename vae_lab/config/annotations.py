"""Values against annotations, and annotations in words."""

import types
import typing
from collections.abc import Collection, Mapping
from typing import Any

import typeguard

from vae_lab.errors import UserError, shortened

ALL_ITEMS = typeguard.CollectionCheckStrategy.ALL_ITEMS


def check_type(value: Any, annotation: Any, full_key: str) -> None:
    """Raises `UserError` for a value that its annotation does not allow."""
    allowed = (annotation, *typing.get_args(annotation))
    # Python's True is an int
    stray_bool = isinstance(value, bool) and bool not in allowed and Any not in allowed
    fits = _fits(value, annotation) or (isinstance(value, list) and _fits(tuple(value), annotation))
    if not fits and isinstance(value, str) and _is_mapping(annotation):
        raise UserError(f"{full_key} is a group of options: write {full_key.replace('.', '/')}={value}.")
    if stray_bool or not fits:
        raise UserError(f"{full_key} must be {describe(annotation)}, got {shortened(repr(value))}.")


def _fits(value: Any, annotation: Any) -> bool:
    try:
        typeguard.check_type(value, annotation, collection_check_strategy=ALL_ITEMS)
    except typeguard.TypeCheckError:
        return False
    return True


def _is_mapping(annotation: Any) -> bool:
    kinds = (annotation, *typing.get_args(annotation))
    return any(typing.get_origin(kind) is Mapping for kind in kinds)


def choices(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, or the annotation alone."""
    is_union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return typing.get_args(annotation) if is_union else (annotation,)


def elements(annotation: Any) -> tuple[Any, ...]:
    """The annotations of what a mapping or a sequence holds; none if it holds no more than plain values."""
    members = choices(annotation)
    held = [kind for each in members if _is_collection(each) for kind in typing.get_args(each)[-1:]]
    return (Any,) if Any in members else tuple(kind for kind in held if kind not in (Any, ...))


def _is_collection(annotation: Any) -> bool:
    origin = typing.get_origin(annotation)
    return isinstance(origin, type) and issubclass(origin, Collection)


def describe(annotation: Any) -> str:
    """An annotation in words: the choices of a Literal, or the type's name."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return ("one of " if len(arguments) > 1 else "") + ", ".join(map(str, arguments))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(describe, arguments))
    if annotation is type(None):
        return "null"
    if origin is not None and arguments:
        return f"{getattr(origin, '__name__', origin)} of {', '.join(map(describe, arguments))}"
    return getattr(annotation, "__name__", str(annotation))
