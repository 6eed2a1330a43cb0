"""The similarities of a table that a figure can show: the chosen estimate and all others."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fastcka.core.measures.table import MEASURES
from fastcka.stats import PairTable

MAIN = "cka"
"""The column of the estimator that the sweep chose; intervals and p-values belong to it."""
_NO_SIMILARITIES = {
    *("n_dropped", "seconds", "hsic_biased", "hsic_unbiased", "null_mean", "null_sd", "z"),
    *("p_value", "q_value", "stderr", "ci_low", "ci_high"),
}
_TITLES = {
    "cka_biased": "CKA (biased)",
    "cka_unbiased": "CKA (unbiased)",
    "feature_corrected": "CKA (feature_corrected)",
}


@dataclass(frozen=True, eq=False)
class Value:
    """A column of similarities.

    Attributes
    ----------
    name, title
        Its name in results.csv, and its name in figures.
    numbers
        (n_pairs,) float64; NaN where it is undefined. Side a is the first argument.
    reverse
        (n_pairs,) float64, with side b as first argument; None for a symmetric similarity.
    """

    name: str
    title: str
    numbers: NDArray[np.float64]
    reverse: NDArray[np.float64] | None = None

    @property
    def limits(self) -> tuple[float, float]:
        """The limits of the colour scale: 0 to 1, or those of the numbers if they are outside."""
        both = self.numbers if self.reverse is None else np.r_[self.numbers, self.reverse]
        known = both[np.isfinite(both)]
        if not len(known) or (known.min() >= -0.25 and known.max() <= 1.25):
            return 0.0, 1.0
        return float(known.min()), float(known.max())

    def of(self, table: PairTable) -> PairTable:
        """Return the table that contains this column, with the column in place of ``cka``.

        An asymmetric similarity counts as the mean of its two directions, because a figure of
        pairs without rows and columns has no first argument.
        """
        both = self.numbers if self.reverse is None else (self.numbers + self.reverse) / 2
        return replace(table, cka=both)


def values_of(table: PairTable) -> list[Value]:
    """Return the chosen estimate, then every other column of similarities that has a value.

    A column of numbers that this module does not know is a similarity, so that those of further
    measures appear by themselves.
    """
    chosen = f"CKA ({table.estimator})" if table.estimator else "CKA (unknown estimator)"
    values = [Value(MAIN, chosen, table.cka)]
    same = {f"cka_{table.estimator}", table.estimator}
    reverse: dict[str, NDArray[np.float64]] = {
        name: table.numbers[f"{name}_b"]
        for name, measure in MEASURES.items()
        if not measure.symmetric and name in table.numbers and f"{name}_b" in table.numbers
    }
    hidden = _NO_SIMILARITIES | same | {f"{name}_b" for name in reverse}
    for name, numbers in table.numbers.items():
        if name not in hidden and np.isfinite(numbers).any():
            title = _TITLES.get(name, name.replace("_", " "))
            values.append(Value(name, title, numbers, reverse.get(name)))
    return values
