"""The order of a field's values, for `ascending`: as it is given, or as the values have it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from fastcka.errors import SweepError
from fastcka.sweep.labels import identity_of, is_number, json_text, key_text

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

    from fastcka.sweep.labels import Labels

_NUMBERED = re.compile(r"(.*?)([0-9]{1,18})", re.DOTALL)
# Beginnings after which the digits are no whole number: 0.5, 1/2, v1.10, 1e-3, -1.
_INSIDE_A_NUMBER = re.compile(r"(.*[0-9])?[.,/]|.*[0-9][eE][+-]?|[+-]", re.DOTALL)
_SHOWN = 12


def ranks(
    field: str, labels: Sequence[Labels], order: Sequence[object] | None
) -> NDArray[np.int64]:
    """Return the rank of each representation's value of ``field``, (n,); equal values, equal ranks.

    Without an ``order``, numbers rank by value, and texts that differ only in the whole number at
    their end by that number: ``v2`` before ``v10``. Alphabetical order is no order: it would put
    ``v10`` before ``v2``, ``late`` before ``mid``, and the seed ``orig`` after ``1``.

    Raises
    ------
    SweepError
        A value is not in ``order``, or there is none and the values do not have one.
    """
    if order is None:
        order = _own_order(field, labels)
    places = {identity_of(value): place for place, value in enumerate(order)}
    for own in labels:
        if identity_of(own[field]) not in places:
            listed = ", ".join(map(json_text, order))
            raise SweepError(
                f"compare.order.{field}: no place for {json_text(own[field])}, which "
                f"{key_text(own)} has (listed: {listed}); write it where it belongs, or leave it "
                "out by `exclude`"
            )
    return np.array([places[identity_of(own[field])] for own in labels], dtype=np.int64)


def _own_order(field: str, labels: Sequence[Labels]) -> Sequence[object]:
    distinct: dict[Hashable, object] = {identity_of(own[field]): own[field] for own in labels}
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
        f"compare.ascending: the values of '{field}' have no order of their own ({shown}); give "
        f"it, the lowest first, as in `order: {{{field}: [{shown}]}}` with them in your order"
    )
