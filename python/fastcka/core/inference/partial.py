"""Similarities without what confounders explain.

CKA is the cosine of two centred Gram matrices, so the correlation of what is left of two of them,
after regression on others, follows from the matrix of all similarities. For one confounder 0 it is

    (r12 - r10 r20) / sqrt((1 - r10^2)(1 - r20^2))

and for several the entry of the inverse correlation matrix. With unbiased CKA it is the partial
distance correlation of Szekely and Rizzo 2014.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastcka.core.sums import EPSILON
from fastcka.errors import InputError


def partial_cka(
    cka: NDArray[np.float64], given: Sequence[int], products: str
) -> NDArray[np.float64]:
    """Return (M, M) partial similarities; rows and columns of ``given`` are NaN.

    NaN also where ``given`` explains a representation completely, within the rounding of the
    ``products`` from which the similarities were computed. With undefined or linearly dependent
    confounders, `InputError`.
    """
    # Rounding is divided by the share of a Gram matrix that is left. So half of the digits remain.
    nothing_left = np.sqrt(EPSILON[products])
    inner = cka[np.ix_(given, given)]
    if np.isnan(inner).any():
        raise InputError("given: expected representations with a similarity, got one that is NaN")
    if np.linalg.eigvalsh(inner).min() < nothing_left:
        raise InputError(
            f"given: the confounders explain each other, within the rounding of {products} "
            "products; leave out one that the others explain"
            + ("" if products == "float64" else ", or compare with precision='float64'")
        )
    across = cka[:, given]
    rest = cka - across @ np.linalg.solve(inner, across.T)
    left = rest.diagonal().copy()
    left[list(given)] = np.nan
    left[~(left > nothing_left)] = np.nan
    partial = rest / np.sqrt(np.outer(left, left))
    np.fill_diagonal(partial, np.where(np.isnan(left), np.nan, 1.0))
    clipped: NDArray[np.float64] = np.clip((partial + partial.T) / 2, -1, 1)
    return clipped
