"""Mean similarity as a function of a factor, for each layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastcka.stats.given import as_table
from fastcka.stats.table import PairTable

if TYPE_CHECKING:
    import pandas as pd

    from fastcka.core import Comparison


@dataclass(frozen=True, eq=False)
class TrendPoint:
    """One point of one line.

    Attributes
    ----------
    line, label
        Label of the line (``lines``), and label on the x axis (``over``).
    mean, sem
        Mean and standard error of the pairs. ``sem`` is NaN for fewer than two pairs. It describes
        scatter only, because pairs share models.
    pairs
        (n,) float64: the similarities of the pairs.
    """

    line: str
    label: str
    mean: float
    sem: float
    pairs: NDArray[np.float64]

    @property
    def n(self) -> int:
        """Number of pairs."""
        return len(self.pairs)


def trend(
    table: PairTable | Comparison | pd.DataFrame, *, over: str = "family", lines: str = "layer"
) -> list[TrendPoint]:
    """Return the points of each line, in the order of the labels. Points without pairs are omitted.

    A pair counts if its two sides agree in both fields. Pairs of a model with itself and pairs
    without a value are excluded.

    Parameters
    ----------
    table
        As for `compare_pairs`, at any number of layers and steps.
    over
        Field of the x axis.
    lines
        Field with one line per label.

    Raises
    ------
    InputError
        The table lacks a field.
    """
    table = as_table(table)
    table.require(over, lines)
    usable = table.defined()
    usable = usable.keep(usable.same(over) & usable.same(lines))
    points = []
    for line in usable.labels(lines):
        for label in usable.labels(over):
            values = usable.cka[(usable.a[lines] == line) & (usable.a[over] == label)]
            if line is not None and label is not None and len(values):
                points.append(TrendPoint(line, label, *mean_and_sem(values), values))
    return points


def mean_and_sem(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean of ``values`` (n,) and its standard error (ddof 1; NaN for n < 2)."""
    if len(values) == 0:
        return float("nan"), float("nan")
    sem = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return float(values.mean()), float(sem)
