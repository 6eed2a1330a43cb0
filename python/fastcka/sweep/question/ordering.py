"""The order of a field's values, for `ascending`: as given, or by their numbers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from fastcka.errors import SweepError
from fastcka.sweep.question.labels import identity_of, is_number, json_text, key_text

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

    from fastcka.sweep.question.labels import Labels

_NUMBERED = re.compile(r"(.*?)([0-9]{1,18})", re.DOTALL)
# After these prefixes, digits are not a whole number: 0.5, 1/2, v1.10, 1e-3, -1.
_INSIDE_A_NUMBER = re.compile(r"(.*[0-9])?[.,/]|.*[0-9][eE][+-]?|[+-]", re.DOTALL)
_SHOWN = 12


def ranks(
    field: str, labels: Sequence[Labels], order: Sequence[object] | None
) -> NDArray[np.int64]:
    """Return the rank of each representation's value of ``field``, (n,); equal values, equal ranks.

    Without an ``order``, numbers rank by value. Texts that differ only in a whole number at their
    end rank by that number: ``v2`` before ``v10``. Other texts need an ``order``: alphabetically,
    ``late`` would rank before ``mid``, and the seed ``orig`` after ``1``.

    Raises
    ------
    SweepError
        ``order`` lacks a value; or there is no ``order``, and the values have none.
    """
    if order is None:
        order = _natural_order(field, labels)
    places = {identity_of(value): place for place, value in enumerate(order)}
    for representation in labels:
        if identity_of(representation[field]) not in places:
            listed = ", ".join(map(json_text, order))
            raise SweepError(
                f"compare.order.{field}: {json_text(representation[field])} is missing, a value of "
                f"{key_text(representation)} (listed: {listed}); add it to the list, or "
                "leave it out by `exclude`"
            )
    return np.array(
        [places[identity_of(representation[field])] for representation in labels], dtype=np.int64
    )


def _natural_order(field: str, labels: Sequence[Labels]) -> Sequence[object]:
    distinct: dict[Hashable, object] = {
        identity_of(representation[field]): representation[field] for representation in labels
    }
    values = list(distinct.values())
    numeric = [value for value in values if is_number(value)]
    if len(numeric) == len(values):
        return sorted(numeric)
    parts = [_NUMBERED.fullmatch(value) for value in values if isinstance(value, str)]
    numbers = {int(part[2]): part[0] for part in parts if part}
    beginnings = {part[1] for part in parts if part}
    inside = any(map(_INSIDE_A_NUMBER.fullmatch, beginnings))
    if len(numbers) == len(values) and len(beginnings) == 1 and not inside:
        return [numbers[number] for number in sorted(numbers)]
    shown = ", ".join(map(json_text, values[:_SHOWN])) + (", ..." if len(values) > _SHOWN else "")
    raise SweepError(
        f"compare.ascending: the values of '{field}' have no natural order ({shown}); give "
        f"one, lowest first: `order: {{{field}: [{shown}]}}`, sorted as you mean it"
    )
