"""Labels of representations: their fields, and when two values are equal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeGuard

from fastcka.errors import SweepError
from fastcka.near_misses import near_misses

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from fastcka.store import Key

KEY_FIELDS = ("model", "step", "layer")

Labels = dict[str, Any]
"""The model, step and layer of a representation and the factors of its model, in this order."""

Allowed = dict[str, "frozenset[Hashable]"]
"""Field -> the identities of its allowed values."""


def known_fields(labels: Iterable[Labels]) -> list[str]:
    """Return every field of any representation: model, step, layer, then the factors."""
    return list(dict.fromkeys(field for representation in labels for field in representation))


def labels_of(key: Key, factors: Mapping[str, Any]) -> Labels:
    """Return the labels of a representation; the key wins over a factor of the same name."""
    return {**key._asdict(), **factors, **key._asdict()}


def require_visible_keys(models: Iterable[str], factors: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse a model with a factor named model, step or layer, which would be ambiguous."""
    for model in models:
        for name in KEY_FIELDS:
            if name in factors[model]:
                raise SweepError(
                    f"model '{model}': a factor named '{name}' hides the {name} of the key; write "
                    "the model into the store with that factor renamed, or leave it out by `select`"
                )


def key_text(representation: Labels) -> str:
    """Return the key of a representation as text."""
    return group_name({field: representation[field] for field in KEY_FIELDS})


def group_name(fields: Mapping[str, Any]) -> str:
    """Return fields as text, ``layer=fc1, step=100``; "all" without fields."""
    return ", ".join(f"{field}={value_text(value)}" for field, value in fields.items()) or "all"


def identity_of(value: object) -> Hashable:
    """Return an object that is equal for equal values of a field.

    Numbers are equal by value (1 and 1.0). Booleans and texts are not numbers: True and "1" differ
    from 1. Lists are equal if they contain the same members equally often, in any order: tasks
    [a, b] equal tasks [b, a], and widths [32, 32] differ from widths [32].
    """
    if isinstance(value, list | tuple):
        return ("list", tuple(sorted((identity_of(member) for member in value), key=repr)))
    kind = "number" if is_number(value) else type(value).__name__
    return (kind, value)


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether ``value`` is a number; a boolean is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def value_text(value: object) -> str:
    """Return a value for a cell or a name: texts without quotes, others as JSON."""
    if isinstance(value, str):
        return value
    return json_text(value)


def json_text(value: object) -> str:
    """Return a value as YAML would write it, texts in quotes."""
    return json.dumps(value, ensure_ascii=False)


def require_fields(names: Sequence[str], known: Sequence[str], where: str) -> None:
    """Refuse a field that no representation has."""
    for name in names:
        if name not in known:
            raise SweepError(f"{where}: unknown field '{name}'{near_misses(name, known)}")
