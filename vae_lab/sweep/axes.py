"""The axes of a sweep: what varies, in which role, and which overrides each value stands for."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any, Literal, NamedTuple

from hydra.core.override_parser.types import Override

from vae_lab.config.overrides import literal
from vae_lab.errors import UserError, did_you_mean

Role = Literal["scientific", "nuisance", "repeats"]
ROLES: tuple[Role, ...] = ("scientific", "nuisance", "repeats")
PRODUCT, EXCEPT = "product", "except"  # which stand among the named rows of an axis


class Axis(NamedTuple):
    """One axis of a sweep.

    Args:
        key: What the command line calls it: a key, a group, or the name of an axis with paired values.
        role: `scientific` is what the question compares, `nuisance` is chosen on the validation split for
            each of those, and `repeats` are averaged over.
        values: The overrides of each value, by its label; several where values are paired.
    """

    key: str
    role: Role
    values: dict[str, list[str]]


class Point(NamedTuple):
    """One combination of values: the label of each axis, and all overrides."""

    labels: dict[str, str]
    overrides: list[str]


def axes(
    sweep: Mapping[str, Any] | None, typed: Iterable[Override], before: Mapping[str, Role] | None = None
) -> tuple[list[Axis], list[str]]:
    """The axes of a sweep's file as the command line changes them, and the overrides that every job shares.

    Args:
        sweep: The node `sweep` of the configuration, or None without a file.
        typed: The overrides of the command line; one with several values is an axis, and one whose key is
            that of an axis takes its place.
        before: The role of each axis that the sweep of this name has already, by its key.

    Raises:
        UserError: If `sweep.only` names an axis or a value that is not there, or an axis has no value.
    """
    settings: Mapping[str, Any] = sweep or {}
    before = before or {}
    axes_by_name = {
        key: Axis(key, role, values_of(key, values))
        for role in ROLES
        for key, values in (settings.get(role) or {}).items()
    }
    for key, labels in (settings.get("only") or {}).items():
        axes_by_name[key] = _only(axes_by_name, key, [str(label) for label in labels])
    fixed = []
    for override in typed:
        typed_key = override.get_key_element()
        key = typed_key.lstrip("+~")
        for axis in axes_by_name.values():
            if any(key == word.lstrip("+").partition("=")[0] for word in _paired(axis)):
                raise UserError(
                    f"{override.input_line}: {key} belongs to the axis {axis.key}; choose {axis.key}=."
                )
        role = axes_by_name[key].role if key in axes_by_name else before.get(key)
        if override.is_delete():
            axes_by_name.pop(key, None)
            role = None
        if override.is_discrete_sweep() or (role and not override.is_sweep_override()):
            role = role or ("repeats" if key == "seed" else "scientific")
            texts = _texts(override)
            axes_by_name[key] = Axis(key, role, {text: [f"{typed_key}={text}"] for text in texts})
        elif override.is_sweep_override():
            raise UserError(
                f"{override.input_line} is no list of values; a grid needs key=a,b or range(1,9)."
            )
        else:
            fixed.append(str(override.input_line))
    for axis in axes_by_name.values():
        if not axis.values:
            raise UserError(f"{axis.key} has no value to run.")
    return list(axes_by_name.values()), fixed


def values_of(key: str, values: Any) -> dict[str, list[str]]:
    """The overrides of each value of an axis in a sweep's file, by its label.

    Args:
        key: The axis.
        values: A list of values; or rows of overrides by their labels, among them those of `product`, a list
            of tables of such rows, each row of one with each of the others, but for the labels in `except`.

    Raises:
        UserError: If it is neither.

    Example:
        >>> values_of("size", {"product": [{"a": ["x=1"]}, {"b": ["y=1"], "c": ["y=2"]}], "except": ["a_b"]})
        {'a_c': ['x=1', 'y=2']}
    """
    if isinstance(values, Mapping):
        return _named(key, values)
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise UserError(
            f"sweep: {key} must be a list of values, or rows of overrides with a name, got {values!r}."
        )
    return {literal(value): [f"{key}={literal(value)}"] for value in values}


def _named(key: str, values: Mapping[str, Any]) -> dict[str, list[str]]:
    """Rows of overrides by their labels, those of a product in its place."""
    if EXCEPT in values and PRODUCT not in values:
        raise UserError(f"sweep: {key}.except needs {key}.product, whose rows it leaves out.")
    rows_by_label: dict[str, list[str]] = {}
    for label, content in values.items():
        if label == EXCEPT:
            continue
        is_product = label == PRODUCT
        rows = _but(key, _product(key, content), values) if is_product else _rows(key, {label: content})
        if same := rows_by_label.keys() & rows.keys():
            raise UserError(f"sweep: {key} must have each row once, and {min(same)} is there twice.")
        rows_by_label |= rows
    return rows_by_label


def _but(key: str, rows: Mapping[str, list[str]], values: Mapping[str, Any]) -> dict[str, list[str]]:
    """The rows of a product without those that are left out."""
    excluded = values.get(EXCEPT, [])
    if isinstance(excluded, str) or not isinstance(excluded, Sequence):
        raise UserError(f"sweep: {key}.except must be a list of rows of the product, got {excluded!r}.")
    for label in excluded:
        if label not in rows:
            raise UserError(
                f"sweep: {key}.except: {label} is not a row of the product{did_you_mean(str(label), rows)}"
            )
    return {label: row for label, row in rows.items() if label not in excluded}


def _product(key: str, tables: Any) -> dict[str, list[str]]:
    """Each row of a table with each row of the others, the last varying fastest; labels are joined by _."""
    is_list = isinstance(tables, Sequence) and not isinstance(tables, str)
    if not is_list or len(tables) < 2 or not all(isinstance(table, Mapping) for table in tables):
        raise UserError(f"sweep: {key}.product must be a list of two tables of rows or more, got {tables!r}.")
    combinations = product(*(_rows(key, table).items() for table in tables))
    return {
        "_".join(label for label, _ in rows): [word for _, row in rows for word in row]
        for rows in combinations
    }


def _rows(key: str, table: Mapping[str, Any]) -> dict[str, list[str]]:
    for label, row in table.items():
        if isinstance(row, str) or not isinstance(row, Sequence):
            raise UserError(f"sweep: {key}.{label} must be a list of overrides, got {row!r}.")
    return {str(label): [str(word) for word in row] for label, row in table.items()}


def points(of: Sequence[Axis]) -> list[Point]:
    """Every combination of the axes' values, the last axis varying fastest."""
    names = short_names([axis.key for axis in of])
    combinations = product(*(axis.values.items() for axis in of))
    return [
        Point(
            {names[axis.key]: label for axis, (label, _) in zip(of, values, strict=True)},
            [override for _, overrides in values for override in overrides],
        )
        for values in combinations
    ]


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """The last part of each key, or the whole where two would be the same.

    Example:
        >>> short_names(["model.latent_dim", "model/likelihood", "a.lr", "b.lr"])
        {'model.latent_dim': 'latent_dim', 'model/likelihood': 'likelihood', 'a.lr': 'a.lr', 'b.lr': 'b.lr'}
        >>> short_names(["estimator._target_", "seed"])
        {'estimator._target_': 'estimator', 'seed': 'seed'}
    """
    parts = {key: key.lstrip("+").partition("@")[0].removesuffix("._target_") for key in keys}
    last = {key: re.split(r"[./]", part)[-1] for key, part in parts.items()}
    names = list(last.values())
    return {key: name if names.count(name) == 1 else key.lstrip("+") for key, name in last.items()}


def _texts(override: Override) -> list[str]:
    if override.is_discrete_sweep():
        return [str(text) for text in override.sweep_string_iterator()]
    return [override.get_value_element_as_str()]


def _paired(axis: Axis) -> list[str]:
    """The overrides of an axis whose values are named."""
    return [
        word
        for words in axis.values.values()
        for word in words
        if word.partition("=")[0].lstrip("+") != axis.key
    ]


def _only(known: Mapping[str, Axis], key: str, labels: Sequence[str]) -> Axis:
    if key not in known:
        raise UserError(f"{key} is not an axis of this sweep{did_you_mean(key, known)}")
    axis = known[key]
    for label in labels:
        if label not in axis.values:
            raise UserError(f"{key}={label} is not a value of this axis{did_you_mean(label, axis.values)}")
    return axis._replace(values={label: axis.values[label] for label in labels})
