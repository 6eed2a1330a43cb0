"""False discovery rates: Benjamini and Hochberg 1995."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def q_values(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the smallest false discovery rate at which each test would be significant.

    Parameters
    ----------
    p_values
        (P,); tests with NaN do not count and have a q-value of NaN.
    """
    result = np.full(p_values.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    ranks = np.arange(1, len(order) + 1)
    scaled = p_values[order] * len(order) / ranks
    result[order] = np.minimum.accumulate(scaled[::-1])[::-1]
    return result
