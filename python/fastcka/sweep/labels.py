"""Labels of representations: what a field's value is, when two are equal, when one is selected."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeGuard

from fastcka.errors import SweepError
from fastcka.near_misses import near_misses

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from fastcka.store import Key
    from fastcka.sweep.config import SweepConfig

KEY_FIELDS = ("model", "step", "layer")

Labels = dict[str, Any]
"""A representation's model, step, layer and every factor of its model, in this order."""

Allowed = dict[str, "frozenset[Hashable]"]
"""Field -> the identities of the values that it may have."""


def known_fields(labels: Iterable[Labels]) -> list[str]:
    """Return every field that some representation has: model, step, layer, then the factors."""
    return list(dict.fromkeys(field for own in labels for field in own))


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
    kind = "number" if is_number(value) else type(value).__name__
    return (kind, value)


def is_number(value: object) -> TypeGuard[int | float]:
    """Tell whether ``value`` is a number, which a boolean is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_selected(value: object, allowed: Iterable[Hashable]) -> bool:
    """Tell whether ``value`` is one of the ``allowed`` identities, or a list that contains one."""
    members = value if isinstance(value, list | tuple) else [value]
    return any(identity_of(member) in allowed for member in members)


def fits(own: Labels, allowed: Allowed) -> bool:
    """Tell whether a representation has an allowed value of every field that is named."""
    return all(
        field in own and is_selected(own[field], values) for field, values in allowed.items()
    )


def value_text(value: object) -> str:
    """Return a label's value as a cell or a name shows it: texts bare, the rest as JSON."""
    if isinstance(value, str):
        return value
    return json_text(value)


def json_text(value: object) -> str:
    """Return a label's value as it would be written in YAML, texts in quotes."""
    return json.dumps(value, ensure_ascii=False)


def require_fields(names: Sequence[str], known: Sequence[str], where: str) -> None:
    """Refuse a field that no representation has."""
    for name in names:
        if name not in known:
            raise SweepError(f"{where}: unknown field '{name}'{near_misses(name, known)}")


def required_values(
    wanted: Mapping[str, Sequence[object]],
    where: tuple[str, ...],
    stored: Sequence[Labels],
    config: SweepConfig,
) -> Allowed:
    """Return what a mapping of the configuration such as ``select`` allows.

    Each field and value must occur in the store: one that nothing has is a misspelling or a YAML
    trap, and would select nothing in silence.
    """
    name = ".".join(where)
    require_fields(list(wanted), known_fields(stored), name)
    allowed: Allowed = {}
    for field, values in wanted.items():
        present: dict[Hashable, object] = {}
        for own in stored:
            value = own.get(field, ())
            for member in value if isinstance(value, list | tuple) else [value]:
                present.setdefault(identity_of(member), member)
        for position, value in enumerate(values):
            if identity_of(value) not in present:
                came = config.describe((*where, field, position), value)
                shown = sorted((json_text(one) for one in present.values()), key=_size)
                raise SweepError(
                    f"{name}.{field}: no representation in {config.store} has {came}"
                    f"{near_misses(json_text(value), shown)}"
                )
        allowed[field] = frozenset(identity_of(value) for value in values)
    return allowed


def _size(text: str) -> tuple[int, str]:
    return (len(text), text)  # so that 2 comes before 10
