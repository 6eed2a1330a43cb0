"""Means of the blocks of a similarity matrix, one block for each two labels of a field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastcka.stats.given import as_table
from fastcka.stats.printed import Printed, Table
from fastcka.stats.table import PairTable

if TYPE_CHECKING:
    import pandas as pd

    from fastcka.core import Comparison


@dataclass(frozen=True, eq=False, repr=False)
class BlockMeans(Printed):
    """Mean similarity between every two labels of a field.

    Attributes
    ----------
    by
        The field.
    labels
        K labels, in the order of the rows.
    mean
        (K, K) float64, symmetric. NaN if no pair has a value.
    sem
        (K, K) float64: standard error of the mean (ddof 1). NaN for fewer than two pairs. It
        describes scatter only: pairs share models and are not independent. To test a difference,
        use `compare_pairs`.
    n
        (K, K) int64: number of pairs in each mean.
    left_out
        Reason -> number of pairs that are in no block.
    """

    by: str
    labels: tuple[str, ...]
    mean: NDArray[np.float64]
    sem: NDArray[np.float64]
    n: NDArray[np.int64]
    left_out: dict[str, int]

    def _table(self) -> Table:
        count = len(self.labels)
        rows = (
            (self.labels[i], self.labels[j], *(float(x[i, j]) for x in (self.mean, self.sem)), n)
            for i in range(count)
            for j, n in enumerate(self.n[i].tolist())
            if i <= j
        )
        names = [f"{self.by}_a", f"{self.by}_b", "mean", "sem", "n"]
        heading = f"BlockMeans by {self.by}: {int(np.triu(self.n).sum()):,} pairs"
        return Table(heading, names, rows, count * (count + 1) // 2)


def block_means(
    table: PairTable | Comparison | pd.DataFrame,
    *,
    by: str = "variant",
    cross: str | None = "seed",
) -> BlockMeans:
    """Return the mean similarity between models for each pair of labels of a field.

    Parameters
    ----------
    table
        As for `compare_pairs`. Pairs of a model with itself, without a value, or without a label
        in ``by`` are excluded.
    by
        The field whose labels define the blocks.
    cross
        Diagonal blocks (one label twice) include only pairs that differ in this field, such as
        different seeds of one variant. None: diagonal blocks include all remaining pairs.

    Raises
    ------
    InputError
        The table lacks a field.
    """
    table = as_table(table)
    table.require(by, *([] if cross is None else [cross]))
    usable = table.defined()
    labels = [label for label in usable.labels(by) if label is not None]
    position = {label: i for i, label in enumerate(labels)}
    row, column = (
        np.array([position.get(label, -1) for label in side[by]], np.int64)
        for side in (usable.a, usable.b)
    )
    labelled = (row >= 0) & (column >= 0)
    counted = labelled.copy()
    if cross is not None:
        counted &= (row != column) | usable.differ(cross)
    # (a, b) and (b, a) count in the same cell.
    low, high = np.minimum(row, column)[counted], np.maximum(row, column)[counted]
    flat = low * len(labels) + high
    values = usable.cka[counted]
    n = np.bincount(flat, minlength=len(labels) ** 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(flat, values, len(labels) ** 2) / n
        squares = np.bincount(flat, (values - mean[flat]) ** 2, len(labels) ** 2)
        sem = np.where(n > 1, np.sqrt(squares / (n - 1) / n), np.nan)
    reasons = {
        "of a model with itself": int((table.a["model"] == table.b["model"]).sum()),
        "without a value": int(
            (~np.isfinite(table.cka) & (table.a["model"] != table.b["model"])).sum()
        ),
        f"without a '{by}'": int((~labelled).sum()),
        f"within one {by}, not between two values of '{cross}'": int((labelled & ~counted).sum()),
    }
    return BlockMeans(
        by=by,
        labels=tuple(labels),
        mean=_symmetric(mean, len(labels)),
        sem=_symmetric(sem, len(labels)),
        n=_symmetric(n, len(labels)).astype(np.int64),
        left_out={reason: count for reason, count in reasons.items() if count},
    )


def _symmetric(flat: NDArray[Any], count: int) -> NDArray[np.float64]:
    """Return the symmetric (count, count) matrix with the upper triangle of ``flat``."""
    upper = np.triu(flat.reshape(count, count).astype(np.float64))
    return np.where(np.tri(count, k=-1, dtype=bool), upper.T, upper)
