"""P-values and calibrated values, from observed values and their values under permutations."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastcka.core.inference.options import Alternative

Vector = NDArray[np.float64]

#: Sums in different orders differ by rounding. A permuted value that is smaller than the observed
#: one by at most this counts as equal to it.
TIE, TIE_FLOAT64 = 1e-7, 1e-13


def tie_of(products: str) -> float:
    """Return the difference that counts as equal, for similarities from these products."""
    return TIE_FLOAT64 if products == "float64" else TIE


@dataclass(frozen=True)
class NullDraws:
    """The p-value, threshold, calibrated value and null moments of each of P columns.

    With observed value s and K null values s_k (Groeger et al. 2026):
    p = (1 + #{s_k >= s}) / (K + 1); "two-sided" compares distances from the mean of all K + 1. The
    threshold is the ceil(level (K + 1))-th smallest of all K + 1, and the calibrated value is
    (s - threshold) / (1 - threshold), within [0, 1].
    """

    p_value: Vector
    threshold: Vector
    calibrated: Vector
    mean: Vector
    sd: Vector

    @classmethod
    def of(
        cls,
        observed: Vector,
        null: NDArray[np.float64],
        *,
        alternative: Alternative,
        level: float,
        tie: float,
    ) -> NullDraws:
        """Compute them from observed (P,) and null values (K, P); NaN in columns with a NaN."""
        count = len(null) + 1
        everything = np.concatenate([observed[None], null])
        if alternative == "greater":
            reached = null >= observed - tie
        else:
            center = everything.mean(axis=0)
            reached = np.abs(null - center) >= np.abs(observed - center) - tie
        p_value = (1 + reached.sum(axis=0)) / count
        place = min(max(math.ceil(level * count - 1e-9), 1), count) - 1
        threshold = np.partition(everything, place, axis=0)[place]
        room = 1 - threshold
        calibrated = np.clip((observed - threshold) / np.where(room > 0, room, 1.0), 0, 1)
        undefined = np.isnan(everything).any(axis=0)
        values = (p_value, threshold, calibrated, null.mean(axis=0), null.std(axis=0))
        return cls(*(np.where(undefined, np.nan, value) for value in values))


def null_matrices(
    size: int,
    pairs: NDArray[np.int64],
    values: NDArray[np.float64],
    *,
    alternative: Alternative,
    level: float,
    tie: float,
) -> dict[str, NDArray[np.float64]]:
    """Return symmetric matrices (size, size) with a NaN diagonal, by their names in the result.

    ``values`` (K + 1, pairs) contains the observed values first.
    """
    draws = NullDraws.of(values[0], values[1:], alternative=alternative, level=level, tie=tie)
    a, b = pairs.T
    columns = {
        "observed": values[0],
        "p_value": draws.p_value,
        "threshold": draws.threshold,
        "calibrated": draws.calibrated,
        "null_mean": draws.mean,
        "null_sd": draws.sd,
    }
    matrices = {name: np.full((size, size), np.nan) for name in columns}
    for name, column in columns.items():
        matrices[name][a, b] = matrices[name][b, a] = column
    return matrices
