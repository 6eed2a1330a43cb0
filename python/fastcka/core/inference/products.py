"""Inner products of U-centred Gram matrices."""

from __future__ import annotations

import numpy as np

from fastcka.core.sums import Matrix, Sums


def products_of_centred(sums: Sums) -> Matrix:
    """Return U_i.U_j, (M, M): n(n-3) HSIC_1 of each pair, for 3 examples or more.

    Szekely and Rizzo 2014; in the notation of csrc/hsic.hpp.
    """
    n = sums.n_examples
    totals = np.outer(sums.r_totals, sums.r_totals)
    return sums.s0 - 2 / (n - 2) * sums.r_products + totals / ((n - 1) * (n - 2))
