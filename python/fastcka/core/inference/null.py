"""The distribution of a similarity if the examples of one representation are permuted.

The rows of one representation are permuted uniformly; the centred Gram matrices K and L are fixed.
With U and V the U-centred Gram matrices, k and l the diagonals of K and L minus their means, and P
a permutation,

    <K, P L P'> = <U, P V P'> + n/(n-2) k . P l + tr K tr L / (n-1)

The first two terms are uncorrelated, because they belong to different irreducible representations
of the symmetric group, and

    E <U,PVP'> = 0                  E <U,PVP'>^2 = 2/(n(n-3)) |U|^2 |V|^2
    E k.Pl     = 0                  E (k.Pl)^2   = |k|^2 |l|^2 / (n-1)
    E <U,PVP'>^3                    = (a S S' + b (S T' + T S') + c T T') / d
    E <U,PVP'>^2 (k.Pl)             = 4(n-2)/((n-1)(n-3)(n-4)) Q Q'
    E <U,PVP'> (k.Pl)^2             = 2/(n(n-3)) W W'
    E (k.Pl)^3                      = n/((n-1)(n-2)) C C'

with S, T, Q, W, C as in `Moments` (before they are divided) and

    a = 4n^4 - 32n^3 + 76n^2 - 16n - 64      b = -24n^2 + 120n - 128
    c = 8n^3 - 72n^2 + 208n - 176            d = n(n-1)(n-2)(n-3)(n-4)(n-5)

The unbiased CKA has the first term only. Mean and variance of the biased one are those of
Kazi-Aoual et al. 1995 for the RV coefficient (see Josse, Pages and Husson 2008).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastcka.core.inference import pearson

if TYPE_CHECKING:
    from fastcka.core.inference.moments import Moments
    from fastcka.core.inference.options import Alternative

Matrix = NDArray[np.float64]

#: Third moments exist from this number of examples on.
MIN_EXAMPLES = 6


@dataclass(frozen=True, slots=True, eq=False)
class Null:
    """Mean, standard deviation and skewness under permutation, each (M, M).

    `skewness` is None unless the moments contain third moments; it is NaN for fewer than
    `MIN_EXAMPLES` examples.
    """

    n_examples: int
    mean: Matrix
    sd: Matrix
    skewness: Matrix | None

    def z(self, cka: Matrix) -> Matrix:
        """Return the distance from the mean in standard deviations."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.sd > 0, (cka - self.mean) / self.sd, np.nan)

    def p_value(self, cka: Matrix, alternative: Alternative) -> Matrix | None:
        """Return the p-values from a distribution of Pearson type III; None without skewness.

        No p-value is below 1/n!, since one of the n! permutations is the observed order.
        """
        if self.skewness is None:
            return None
        z = self.z(cka)
        upper = np.triu_indices(len(z))
        at, skewness = z[upper], self.skewness[upper]
        if alternative == "greater":
            p = pearson.tail(at, skewness)
        else:
            at = np.abs(at)
            p = np.minimum(pearson.tail(at, skewness) + pearson.tail(at, -skewness), 1.0)
        if self.n_examples <= 170:
            p = np.maximum(p, 1 / math.factorial(self.n_examples))
        return _symmetric(p, upper, len(z))

    def threshold(self, level: float) -> Matrix | None:
        """Return the quantile of the null distribution; None without skewness."""
        if self.skewness is None:
            return None
        upper = np.triu_indices(len(self.mean))
        quantiles = pearson.quantile(level, self.skewness[upper])
        return self.mean + self.sd * _symmetric(quantiles, upper, len(self.mean))

    def calibrated(self, cka: Matrix, level: float) -> Matrix | None:
        """Return 0 up to the threshold, and above it the share of the way to 1.

        Groeger et al. 2026. None without skewness.
        """
        threshold = self.threshold(level)
        if threshold is None:
            return None
        with np.errstate(divide="ignore", invalid="ignore"):
            share = (cka - threshold) / (1 - threshold)
        return np.where(np.isnan(cka), np.nan, np.clip(share, 0, 1))

    def scaled(self, factor: Matrix) -> Null:
        """Return the distribution of the similarity times a factor that no permutation changes."""
        return Null(self.n_examples, self.mean * factor, self.sd * factor, self.skewness)


def unbiased_null(moments: Moments, n_examples: int) -> Null:
    """Return the distribution of the unbiased CKA; its variance is 2/(n(n-3)) for every pair."""
    n, m = n_examples, len(moments.participation)
    sd = math.sqrt(2 / (n * (n - 3))) if n > 3 else math.nan
    skewness = None
    if moments.cubes is not None:
        skewness = _cubes(moments, n) / sd**3 if n >= MIN_EXAMPLES else np.full((m, m), np.nan)
    return Null(n, np.full((m, m), 0.0 if n > 3 else math.nan), np.full((m, m), sd), skewness)


def biased_null(moments: Moments, n_examples: int) -> Null:
    """Return the distribution of the biased CKA."""
    n = n_examples
    beta, delta = moments.participation, moments.diagonal
    mean = np.sqrt(np.outer(beta, beta)) / (n - 1)
    # |k|^2 and |U|^2 as shares of <K, K>.
    of_diagonal = np.maximum(delta - beta / n, 0)
    if n < 4:
        of_rest, rest, factor = np.zeros_like(beta), 0.0, float(n > 2) and n / (n - 2)
    else:
        factor, rest = n / (n - 2), 2 / (n * (n - 3))
        of_rest = np.maximum(1 - factor * of_diagonal - beta / (n - 1), 0)
    u, k = np.sqrt(np.outer(of_rest, of_rest)), factor * np.sqrt(np.outer(of_diagonal, of_diagonal))
    variance = u**2 * rest + k**2 / (n - 1)
    sd = np.sqrt(variance)
    if moments.cubes is None:
        return Null(n, mean, sd, None)
    if n < MIN_EXAMPLES:
        return Null(n, mean, sd, np.full_like(sd, np.nan))
    q, w, c = moments.weighted_squares, moments.weighted_sum, moments.diagonal_cubes
    assert q is not None and w is not None and c is not None  # noqa: PT018, S101
    third = u**3 * _cubes(moments, n)
    third += 3 * u**2 * k * (4 * (n - 2) / ((n - 1) * (n - 3) * (n - 4))) * np.outer(q, q)
    third += 3 * u * k**2 * rest * np.outer(w, w)
    third += k**3 * n / ((n - 1) * (n - 2)) * np.outer(c, c)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Null(n, mean, sd, third / sd**3)


def _cubes(moments: Moments, n: int) -> Matrix:
    """Return E <U,PVP'>^3 / (|U| |V|)^3."""
    s, t = moments.cubes, moments.triangles
    assert s is not None and t is not None  # noqa: PT018, S101
    a = 4 * n**4 - 32 * n**3 + 76 * n**2 - 16 * n - 64
    b = -24 * n**2 + 120 * n - 128
    c = 8 * n**3 - 72 * n**2 + 208 * n - 176
    d = n * (n - 1) * (n - 2) * (n - 3) * (n - 4) * (n - 5)
    sums = a * np.outer(s, s) + b * (np.outer(s, t) + np.outer(t, s)) + c * np.outer(t, t)
    result: Matrix = sums / d
    return result


def _symmetric(values: NDArray[np.float64], upper: tuple[NDArray[np.intp], ...], m: int) -> Matrix:
    matrix = np.empty((m, m))
    matrix[upper] = values
    matrix[upper[1], upper[0]] = values
    return matrix
