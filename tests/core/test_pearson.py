"""Tails of the Pearson type III distribution, against integrals with many digits."""

from __future__ import annotations

import numpy as np
import pytest

from fastcka.core.inference import pearson
from fastcka.core.inference.fdr import q_values

mpmath = pytest.importorskip("mpmath")

SKEWNESS = [1e-8, 1e-5, 1e-3, 0.01, 0.044, 0.0448, 0.05, 0.3, 1.0, 2.0, 2.8, 6.0]
POINTS = [0.0, 0.001, 0.3, 1.0, 3.0, 8.0, 25.0, 38.0]


def exact(x, skewness):
    """P(X >= x): regularised incomplete gamma functions."""
    with mpmath.workdps(60):
        if skewness == 0:
            return float(mpmath.erfc(mpmath.mpf(x) / mpmath.sqrt(2)) / 2)
        a = 4 / mpmath.mpf(skewness) ** 2
        at = a + mpmath.sign(skewness) * mpmath.mpf(x) * mpmath.sqrt(a)
        if at <= 0:
            return 1.0 if skewness > 0 else 0.0
        if a > 1e5:  # an integral of the density; the series of mpmath take too many terms
            front = mpmath.exp(a * mpmath.log(a) - a - mpmath.loggamma(a))
            side = mpmath.sign(skewness)

            def density(y):
                offset = side * y / mpmath.sqrt(a)
                return mpmath.exp(-a * (offset - mpmath.log1p(offset))) / (1 + offset)

            ends = [mpmath.mpf(x) + step for step in (0, 0.1, 0.2, 0.4, 0.8, 1.2, 2, 3, 5, 8)]
            return float(front / mpmath.sqrt(a) * mpmath.quad(density, ends))
        upper = {"a": at} if skewness > 0 else {"a": 0, "b": at}
        return float(mpmath.gammainc(a, **upper, regularized=True))


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("skewness", SKEWNESS)
def test_tails_keep_their_relative_precision(skewness, sign):
    got = pearson.tail(POINTS, sign * skewness)
    expected = np.array([exact(x, sign * skewness) for x in POINTS])
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-307)
    lower = pearson.tail([-x for x in POINTS], sign * skewness)
    other = np.array([exact(x, -sign * skewness) for x in POINTS])
    np.testing.assert_allclose(1 - lower, other, atol=1e-14)


def test_normal_and_missing():
    assert pearson.tail(3.0, 0.0) == pytest.approx(exact(3.0, 0), rel=1e-12)
    assert np.isnan(pearson.tail([np.nan, 1.0], [0.1, np.nan])).all()


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99, 0.999])
def test_quantiles(level):
    skewness = np.array([*SKEWNESS[:-1], *(-s for s in SKEWNESS[:-1]), 0.0])
    for x, g in zip(pearson.quantile(level, skewness), skewness, strict=True):
        if exact(x, g) > 0:  # -2.8 has its end, with a density without bound, above the quantile
            assert exact(x, g) == pytest.approx(1 - level, rel=1e-6)


def test_density_is_the_slope_of_the_tail():
    for g in (-1.0, -0.02, 1e-20, 0.02, 1.0):
        at = np.array([-0.7, 0.1, 1.2])
        slope = (pearson.tail(at - 1e-5, g) - pearson.tail(at + 1e-5, g)) / 2e-5
        np.testing.assert_allclose(pearson.density(at, np.full(3, g)), slope, rtol=1e-6)


def test_q_values_by_hand():
    got = q_values(np.array([0.04, np.nan, 0.01, 0.03, 0.5]))
    np.testing.assert_allclose(got, [0.04 * 4 / 3, np.nan, 0.04, 0.04 * 4 / 3, 0.5])
    assert q_values(np.array([])).shape == (0,)
