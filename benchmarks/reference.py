"""CKA in float64 as its definitions say; what every contestant is checked against.

It shares no code with fastcka. Gretton et al. 2005 (biased), Song et al. 2012, eq. 5 (unbiased).
"""

from __future__ import annotations

import numpy as np

#: More float64 flops than these are not spent on one reference; fewer representations are checked.
MOST_FLOPS = 1.5e11
#: Nor more bytes.
MOST_BYTES = 3e9


def cka_matrix(arrays, estimator):
    """CKA (M, M) of all pairs of (n, d_i) arrays."""
    # A common shift changes no centred Gram matrix, and spares float64 a needless cancellation.
    xs = [x.astype(np.float64) for x in arrays]
    xs = [x - x.mean(axis=0) for x in xs]
    by_grams, by_features = _costs(len(xs), len(xs[0]), max(x.shape[1] for x in xs))
    hsic = (_from_grams if by_grams <= by_features else _from_features)(xs, estimator)
    with np.errstate(invalid="ignore"):
        own = np.sqrt(np.diag(hsic))
    return hsic / np.outer(own, own)


def checked_positions(m, n, d):
    """The representations whose pairs are checked: all, or as many first ones and the last."""
    most = m
    while most > 3 and min(_costs(most, n, d)) > MOST_FLOPS:
        most -= 1
    return list(range(m)) if most == m else [*range(most - 1), m - 1]


def _costs(m, n, d):
    """Flops of the two ways; no Gram matrices where they would not fit."""
    by_grams = m * n**2 * (2 * d + m)
    if m * n**2 * 8 > MOST_BYTES:
        by_grams = float("inf")
    return by_grams, m**2 * n * d**2


def _from_grams(xs, estimator):
    n, m = len(xs[0]), len(xs)
    grams = [x @ x.T for x in xs]
    if estimator == "unbiased":
        for gram in grams:
            np.fill_diagonal(gram, 0)
    sums = np.array([gram.sum(axis=1) for gram in grams])
    hsic = np.empty((m, m))
    for i in range(m):
        for j in range(i, m):
            traced = np.vdot(grams[i], grams[j])
            hsic[i, j] = hsic[j, i] = _hsic(traced, sums[i], sums[j], n, estimator)
    return hsic


def _from_features(xs, estimator):
    """tr(KL) is |X'Y|^2, less the diagonals; rows of K without its diagonal sum to minus that."""
    n, m = len(xs[0]), len(xs)
    norms = np.array([np.einsum("ij,ij->i", x, x) for x in xs])
    unbiased = estimator == "unbiased"
    hsic = np.empty((m, m))
    for i in range(m):
        for j in range(i, m):
            traced = np.sum((xs[i].T @ xs[j]) ** 2) - unbiased * (norms[i] @ norms[j])
            hsic[i, j] = hsic[j, i] = _hsic(traced, -norms[i], -norms[j], n, estimator)
    return hsic


def _hsic(traced, sums, other_sums, n, estimator):
    """From tr(KL), which is tr(KHLH) for centred columns; Song's form for diagonals of 0."""
    if estimator == "biased":
        return traced / (n - 1) ** 2
    song = traced + sums.sum() * other_sums.sum() / ((n - 1) * (n - 2))
    return (song - 2 / (n - 2) * (sums @ other_sums)) / (n * (n - 3))
