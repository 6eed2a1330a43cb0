"""Whether representations are of the same examples in the same order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastcka.errors import SweepError

if TYPE_CHECKING:
    from fastcka.store import LayerInfo, Store


def require_same_examples(store: Store, first: LayerInfo, second: LayerInfo) -> None:
    """Refuse two representations of other examples, or of the same in another order."""
    if first.examples_digest == second.examples_digest:
        return
    if first.n_examples != second.n_examples:
        raise SweepError(
            f"{first.key} has {first.n_examples} examples and {second.key} has "
            f"{second.n_examples}: a group must hold the same examples (add a field to "
            "compare.within that separates them, or write them with the same examples)"
        )
    ids, others = store.examples(first.key).ids, store.examples(second.key).ids
    at = int(np.flatnonzero(ids != others)[0])
    same = np.array_equal(np.sort(ids), np.sort(others))
    what = "the same examples in another order" if same else "other examples"
    raise SweepError(
        f"{first.key} and {second.key} hold {what}: at position {at} (from 0) the ids are "
        f"'{ids[at]}' and '{others[at]}'; rows are matched by position, so write both with the "
        "same examples in the same order"
    )
