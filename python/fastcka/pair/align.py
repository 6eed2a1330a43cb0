"""The examples that two models have in common, by id; rows are never matched by position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastcka.errors import InputError
from fastcka.store.joining import GIVE_IDS, NamedRows, join_refusal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastcka.store import ExampleFilter, Examples

OUTSIDE = "outside the filter"
ELSEWHERE = "not in the other model"


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """Which rows of two models are of the same examples.

    Attributes
    ----------
    ids
        Of the examples that are kept, in the order of the first model.
    first, second
        Their rows, (n_examples,), in each of the two.
    dropped
        For each of the two, reason -> number of examples; only reasons that occur.
    """

    ids: NDArray[np.str_]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    dropped: tuple[dict[str, int], dict[str, int]]


def align(one: Examples, other: Examples, examples: ExampleFilter | None) -> Alignment:
    """Match two models' examples; one that the filter drops on either side is kept on neither.

    Raises
    ------
    FilterError
        If a model's examples lack a field of the filter.
    InputError
        If fewer than two examples are left, or ids that only name positions would be matched with
        others.
    """
    refusal = join_refusal(
        [
            NamedRows(name, len(side.ids), side.positional_ids)
            for name, side in (("exp1", one), ("exp2", other))
        ]
    )
    if refusal is not None:
        raise InputError(refusal)
    masks = [
        np.ones(len(own.ids), dtype=np.bool_) if examples is None else examples.mask(own)
        for own in (one, other)
    ]
    if one.positional_ids and not np.array_equal(masks[0], masks[1]):
        row = int(np.flatnonzero(masks[0] != masks[1])[0])
        raise InputError(
            "exp1 and exp2 have no example ids, so rows are matched by position, but city_filter "
            f"keeps row {row} in one of them only: they are not of the same examples; {GIVE_IDS}"
        )
    ids, places_one, places_other = np.intersect1d(
        one.ids, other.ids, assume_unique=True, return_indices=True
    )
    kept = masks[0][places_one] & masks[1][places_other]
    order = np.flatnonzero(kept)[np.argsort(places_one[kept])]
    if len(order) < 2:
        raise InputError(
            f"exp1 has {len(one.ids)} examples and exp2 has {len(other.ids)}; {len(ids)} ids are "
            f"in both, and city_filter keeps {len(order)} of these; at least 2 are needed"
        )
    counts = []
    for mask, places in ((masks[0], places_one), (masks[1], places_other)):
        absent = int(np.count_nonzero(mask)) - int(np.count_nonzero(mask[places]))
        both = {OUTSIDE: len(mask) - len(order) - absent, ELSEWHERE: absent}
        counts.append({reason: count for reason, count in both.items() if count})
    return Alignment(
        ids[order],
        places_one[order].astype(np.int64),
        places_other[order].astype(np.int64),
        (counts[0], counts[1]),
    )
