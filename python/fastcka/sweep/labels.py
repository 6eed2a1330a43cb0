"""Labels of representations: what a field's value is, when two are equal, when one is selected."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fastcka.errors import SweepError
from fastcka.near_misses import near_misses
from fastcka.sweep.config import SweepConfig

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from fastcka.store import Key

KEY_FIELDS = ("model", "step", "layer")

Labels = dict[str, Any]
"""A representation's model, step, layer and every factor of its model, in this order."""


def labels_of(key: Key, factors: Mapping[str, Any]) -> Labels:
    """Return the labels of a representation; where a factor bears a name of the key, the key's."""
    return {**key._asdict(), **factors, **key._asdict()}


def require_visible_keys(models: Iterable[str], factors: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse a model with a factor that bears a name of the key: which is meant is not clear."""
    for model in models:
        for name in KEY_FIELDS:
            if name in factors[model]:
                raise SweepError(
                    f"model '{model}': a factor named '{name}' hides the {name} of the key; write "
                    "the model into the store with that factor renamed, or leave it out by `select`"
                )


def key_text(own: Labels) -> str:
    """Return the key of a representation for a list of them."""
    return group_name({field: own[field] for field in KEY_FIELDS})


def group_name(fields: Mapping[str, Any]) -> str:
    """Return fields in words, ``layer=fc1, step=100``; "all" where there are none."""
    return ", ".join(f"{field}={value_text(value)}" for field, value in fields.items()) or "all"


def identity_of(value: object) -> Hashable:
    """Return what makes two values of a field equal.

    Numbers are equal by value (1 and 1.0), but a boolean is no number (in Python, True == 1) and a
    text no number ("1" is not 1). Lists are equal if they hold the same members the same number of
    times, in any order: tasks [a, b] are tasks [b, a], and widths [32, 32] are not widths [32].
    """
    if isinstance(value, list | tuple):
        return ("list", tuple(sorted((identity_of(member) for member in value), key=repr)))
    kind = "number" if _is_number(value) else type(value).__name__
    return (kind, value)


def is_selected(value: object, allowed: Iterable[Hashable]) -> bool:
    """Tell whether ``value`` is one of the ``allowed`` identities, or a list that contains one."""
    members = value if isinstance(value, list | tuple) else [value]
    return any(identity_of(member) in allowed for member in members)


def value_text(value: object) -> str:
    """Return a label's value as a cell or a name shows it: texts bare, the rest as JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def require_fields(names: Sequence[str], known: Sequence[str], where: str) -> None:
    """Refuse a field that no representation has."""
    for name in names:
        if name not in known:
            raise SweepError(f"{where}: unknown field '{name}'{near_misses(name, known)}")


def require_selectable(
    config: SweepConfig, field: str, labels: Sequence[Labels]
) -> frozenset[Hashable]:
    """Return the identities that ``select`` allows for ``field``; each must occur in the store.

    A value that nothing has is a misspelling or a YAML trap, and would select nothing in silence.
    """
    present: dict[Hashable, object] = {}
    for own in labels:
        value = own.get(field, ())
        for member in value if isinstance(value, list | tuple) else [value]:
            present.setdefault(identity_of(member), member)
    for position, value in enumerate(config.select[field]):
        if identity_of(value) not in present:
            came = config.describe(("select", field, position), value)
            shown = sorted((json.dumps(v, ensure_ascii=False) for v in present.values()), key=_size)
            raise SweepError(
                f"select.{field}: no representation in {config.store} has {came}"
                f"{near_misses(json.dumps(value, ensure_ascii=False), shown)}"
            )
    return frozenset(identity_of(value) for value in config.select[field])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _size(text: str) -> tuple[int, str]:
    return (len(text), text)  # so that 2 comes before 10
