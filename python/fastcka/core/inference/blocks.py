"""Blocks of examples, from a label for each example."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcka.errors import InputError


def members_of(blocks: Any, n: int) -> list[NDArray[np.int64]]:
    """Return the examples of each block, the blocks in the order of their first examples.

    Parameters
    ----------
    blocks
        (n,) labels: an array, a column of a table or a sequence.

    Raises
    ------
    InputError
        There is not one label for each example, or a label is missing or no text or number.
    """
    if isinstance(blocks, str):
        raise InputError(
            f"blocks: expected a label for each of {n} examples, got the text {blocks!r}: only a "
            "sweep takes the name of an example column"
        )
    # As objects: in an array of texts, 1 and "1" would be equal.
    labels = np.asarray(blocks if hasattr(blocks, "dtype") else np.array(blocks, dtype=object))
    if labels.shape != (n,):
        raise InputError(
            f"blocks: expected a label for each of {n} examples, shape ({n},); got an array of "
            f"shape {labels.shape}"
        )
    members: dict[Any, list[int]] = {}
    for row, label in enumerate(labels.astype(object)):
        if is_missing(label):
            raise InputError(
                f"blocks: expected a label for each example; got {missing_text(label)} at example "
                f"{row}: leave such examples out"
            )
        try:
            members.setdefault(label, []).append(row)
        except TypeError as error:
            raise InputError(
                f"blocks: expected labels that are text or numbers; got {label!r} at example {row}"
            ) from error
    return [np.array(rows) for rows in members.values()]


def missing_text(label: Any) -> str:
    """Return a missing label as it is usually written."""
    return "NaN" if isinstance(label, float) else str(label)


def is_missing(label: Any) -> bool:
    """Whether a label is None, NaN, NaT or pandas.NA, which is neither equal nor unequal to it."""
    try:
        return label is None or not bool(label == label)
    except TypeError:
        return True
