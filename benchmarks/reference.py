"""CKA in float64 from its definitions; every contestant is checked against it.

It shares no code with fastcka. Gretton et al. 2005 (biased), Song et al. 2012, eq. 5 (unbiased).
"""

from __future__ import annotations

import numpy as np

from benchmarks import data

#: A reference takes at most this many float64 flops; otherwise fewer representations are checked.
MOST_FLOPS = 1.5e11
#: Its Gram matrices take at most this many bytes.
MOST_BYTES = 3e9


class Exact:
    """CKA in float64 of the representations of a group that are checked.

    Parameters
    ----------
    arrays
        The checked representations, (n, d_i) each.
    positions
        Their positions in the group.
    """

    def __init__(self, arrays, positions):
        self.positions = positions
        self._arrays = arrays
        self._matrices = {}

    def hsic(self, estimator):
        """HSIC (k, k) of the checked representations."""
        if estimator not in self._matrices:
            self._matrices[estimator] = hsic_matrix(self._arrays, estimator)
        return self._matrices[estimator]

    def error(self, answer, estimator):
        """The largest deviation of an answer for the group's first representations.

        NaN if the answer contains any value that is not finite.
        """
        answer = np.asarray(answer)
        if not np.isfinite(answer).all():
            return float("nan")
        within = [position for position in self.positions if position < len(answer)]
        expected = normalized(self.hsic(estimator))[: len(within), : len(within)]
        return float(np.abs(answer[np.ix_(within, within)] - expected).max())


def exact_from(path, workload):
    """`Exact` for the first group of a workload's file."""
    positions = checked_positions(workload.m, workload.n, workload.d)
    return Exact(data.read(path, 0, positions), positions)


def cka_matrix(arrays, estimator):
    """CKA (M, M) of all pairs of (n, d_i) arrays."""
    return normalized(hsic_matrix(arrays, estimator))


def normalized(hsic):
    """CKA from HSIC."""
    with np.errstate(invalid="ignore"):
        norms = np.sqrt(np.diag(hsic))
    return hsic / np.outer(norms, norms)


def hsic_matrix(arrays, estimator):
    """HSIC (M, M) of all pairs of (n, d_i) arrays."""
    # A common shift changes no centred Gram matrix, and spares float64 a needless cancellation.
    xs = [x.astype(np.float64) for x in arrays]
    xs = [x - x.mean(axis=0) for x in xs]
    by_grams, by_features = _costs(len(xs), len(xs[0]), max(x.shape[1] for x in xs))
    return (_from_grams if by_grams <= by_features else _from_features)(xs, estimator)


def checked_positions(m, n, d, most_flops=None):
    """The representations whose pairs are checked: all, or the first few and the last."""
    limit = MOST_FLOPS if most_flops is None else most_flops
    most = m
    while most > 3 and min(_costs(most, n, d)) > limit:
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
    """From features: tr(KL) is |X'Y|^2, minus the products of the diagonals if unbiased.

    Each row of K without its diagonal sums to minus its diagonal entry.
    """
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
