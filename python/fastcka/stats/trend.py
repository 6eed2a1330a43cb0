"""How similarity goes with a factor: a line for each layer, over families."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastcka.stats.table import PairTable


@dataclass(frozen=True, eq=False)
class TrendPoint:
    """One point of one line.

    Attributes
    ----------
    line, at
        Its label in the field of the lines and in the field that the trend goes over.
    mean, sem
        Of the pairs; ``sem`` is NaN for fewer than two, and describes scatter (pairs share models).
    pairs
        (n,) float64: the similarities.
    """

    line: str
    at: str
    mean: float
    sem: float
    pairs: NDArray[np.float64]

    @property
    def n(self) -> int:
        """Number of pairs."""
        return len(self.pairs)


def trend(table: PairTable, *, over: str = "family", lines: str = "layer") -> list[TrendPoint]:
    """Return the points of each line, in the order of the labels; a point without pairs is absent.

    A pair counts where its two sides agree in both fields. Pairs of one model with itself and
    those without a value are left out.

    Raises
    ------
    InputError
        The table lacks a field.
    """
    table.require(over, lines)
    usable = table.defined()
    usable = usable.keep(usable.same(over) & usable.same(lines))
    points = []
    for line in usable.labels(lines):
        for at in usable.labels(over):
            values = usable.cka[(usable.a[lines] == line) & (usable.a[over] == at)]
            if line is not None and at is not None and len(values):
                points.append(TrendPoint(line, at, *mean_and_sem(values), values))
    return points


def mean_and_sem(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean of ``values`` (n,) and its standard error (ddof 1; NaN below two)."""
    if len(values) == 0:
        return float("nan"), float("nan")
    sem = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else float("nan")
    return float(values.mean()), float(sem)
