"""The correction for a sample of features, against sums over pairs of features."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

import fastcka
import oracle
from fastcka.errors import DegenerateWarning, InputError


def between(x, y):
    """HSIC_1 of x and y: sums over quadruples of different examples, in the form of nine terms.

    The U-statistic of Chun et al. 2025 sums k_ij l_kl over distinct examples; by inclusion and
    exclusion its three sums are sums over all examples minus those with equal ones.
    """
    k, m = x @ x.T, y @ y.T
    n = len(k)
    kd, md = np.diag(k), np.diag(m)
    pairs = (k * m).sum() - kd @ md
    rows = (k.sum(1) @ m.sum(1) - k.sum(1) @ md - kd @ m.sum(1) - (k * m).sum()) + 2 * (kd @ md)
    whole = (k.sum() - kd.sum()) * (m.sum() - md.sum()) - 4 * rows - 2 * pairs
    return (
        pairs / (n * (n - 1))
        - 2 * rows / (n * (n - 1) * (n - 2))
        + whole / (n * (n - 1) * (n - 2) * (n - 3))
    )


def self_term(x):
    """The mean over pairs of different features, times p^2."""
    p = x.shape[1]
    total = sum(between(x[:, [a]], x[:, [b]]) for a in range(p) for b in range(p) if a != b)
    return total * p / (p - 1)


def corrected(x, y):
    x, y = (z - np.median(z, axis=0) for z in (x, y))
    return between(x, y) / np.sqrt(self_term(x) * self_term(y))


def correlated(n, p, rng):
    return rng.standard_normal((n, 4)) @ rng.standard_normal((4, p)) + rng.standard_normal((n, p))


@pytest.mark.parametrize("many", [1, 8])
@pytest.mark.parametrize("kind", ["plain", "offset", "scale", "far examples"])
def test_against_pairs_of_features(kind, many, rng):
    """Eight copies of each representation are compared by the other route."""
    x, y = correlated(60, 6, rng), correlated(60, 9, rng)
    if kind == "far examples":  # one factor that all features share keeps the self-term positive
        factor = rng.standard_normal((60, 1))
        x, y = 50 * factor + x, 50 * factor + y
    expected = oracle.hsic_unbiased(x, y)
    assert between(x - x.mean(0), y - y.mean(0)) == pytest.approx(expected, rel=1e-10)
    if kind == "offset":
        x = x + 1e3
    elif kind == "scale":
        x, y = x * 1e-60, y * 1e60
    elif kind == "far examples":
        x[[3, 50]] *= 400
        y[[7, 9, 10]] *= 1000
    given = [x, y] * many
    result = fastcka.compare(given, precision="float64")
    scale = 1e60 if kind == "scale" else 1
    expected = corrected(x * scale, y / scale)
    assert result.feature_corrected[0, 1] == pytest.approx(expected, rel=1e-10)
    assert fastcka.cka(x, y, estimator="feature_corrected") == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("far", [[4], [4, 8], [8, 4]])
def test_far_examples_keep_their_digits(far, rng):
    """An example 10^7 times as far leaves 10^-28 of its fourth power to the others.

    An example that is far in one representation may be an ordinary one of the other, before it or
    after it.
    """
    factor = rng.integers(-20, 20, (12, 1))  # shared, so that the self-terms are positive
    x, y = (9.0 * factor + rng.integers(-20, 20, (12, p)) for p in (3, 4))
    for row, z in zip(far, (x, y), strict=False):
        z[row] *= 1e7

    def exact(x, y):
        with np.errstate(all="ignore"):
            k, m = (np.array([[Fraction(int(v)) for v in row] for row in z]) for z in (x, y))
        return between(k, m)

    def term(x):
        p = x.shape[1]
        pairs = [(a, b) for a in range(p) for b in range(p) if a != b]
        return sum(exact(x[:, [a]], x[:, [b]]) for a, b in pairs) * p / (p - 1)

    expected = float(exact(x, y)) / np.sqrt(float(term(x))) / np.sqrt(float(term(y)))
    accumulator = fastcka.Accumulator()
    accumulator.update([x, y])
    for result in (fastcka.compare([x, y]), accumulator.result()):
        assert result.feature_corrected[0, 1] == pytest.approx(expected, rel=1e-8)


def test_any_number_of_threads_gives_the_same_bits(rng):
    xs = [rng.standard_normal((2000, d)) for d in (33, 64)]
    one, many = (fastcka.compare(xs, threads=k).feature_corrected for k in (1, 5))
    np.testing.assert_array_equal(one, many)


def test_float32_and_batches(rng):
    """1000 x 3000 float32 products in batches (the copies of 8 exceed 64 MiB)."""
    shared = rng.standard_normal((1000, 20))
    xs = [
        shared @ rng.standard_normal((20, 3000)) + rng.standard_normal((1000, 3000))
        for _ in range(8)
    ]
    result = fastcka.compare([x.astype(np.float32) for x in xs])
    x, y = xs[:2]
    hsic = [oracle.hsic_unbiased(x, x), oracle.hsic_unbiased(y, y), oracle.hsic_unbiased(x, y)]
    selves = []
    for z, whole in zip((x, y), hsic[:2], strict=True):
        z = z - z.mean(0)
        n, p = z.shape
        squares, fourths = (z**2).sum(0), (z**4).sum(0)
        columns = squares**2 * (n * n - 3 * n + 3) / ((n - 1) * (n - 2)) - fourths * n / (n - 2)
        selves.append((whole - columns.sum() / (n * (n - 3))) * p / (p - 1))
    expected = hsic[2] / np.sqrt(selves[0] * selves[1])
    assert result.feature_corrected[0, 1] == pytest.approx(expected, rel=1e-5)


def test_a_sample_of_units_gives_what_all_give(rng):
    """30 shared latents, 4,000 noisy units, n = 200: means over disjoint draws of units."""
    n, latents, units = 200, 30, 4000
    shared = rng.standard_normal((n, latents))
    x, y = (
        shared @ rng.standard_normal((latents, units)) / np.sqrt(latents)
        + rng.standard_normal((n, units))
        for _ in range(2)
    )
    means = {}
    for width in (20, 200, 4000):
        draws = [slice(i, i + width) for i in range(0, min(units, 40 * width), width)]
        pairs = [fastcka.compare([x[:, s], y[:, s]]) for s in draws]
        means[width] = [
            np.mean([result.unbiased[0, 1] for result in pairs]),
            np.mean([result.feature_corrected[0, 1] for result in pairs]),
        ]
    for width in (20, 200):
        assert means[width][1] == pytest.approx(means[4000][1], abs=0.12 if width == 20 else 0.02)
    assert means[20][0] < 0.4 < 0.6 < means[200][0] < 0.9


def test_where_it_is_undefined(rng):
    x, one = correlated(30, 5, rng), rng.standard_normal((30, 1))
    # Orthogonal patterns: features share nothing, and the corrected self-similarity is negative.
    waves = np.cos(np.pi * (np.arange(30)[:, None] + 0.5) * np.arange(1, 5) / 30)
    result = fastcka.compare([x, one, waves], estimator="feature_corrected")
    assert result.undefined[1] == "the feature correction needs at least 2 features"
    assert "features are not detectably correlated with each other" in result.undefined[2]
    assert np.isnan(result.cka[0, 1:]).all()
    assert np.isfinite(result.unbiased).all()
    np.testing.assert_array_equal(result.hsic, result.hsic_unbiased)
    with pytest.warns(DegenerateWarning, match="CKA with y is NaN: the feature correction needs"):
        assert np.isnan(fastcka.cka(x, one, estimator="feature_corrected"))
    with pytest.raises(InputError, match="feature_corrected estimator needs at least 4 examples"):
        fastcka.cka(x[:3], x[:3], estimator="feature_corrected")
    with pytest.raises(InputError, match="one of biased, unbiased, got 'feature_corrected'"):
        fastcka.hsic(x, x, estimator="feature_corrected")
    assert np.isnan(fastcka.compare([x[:3], x[:3]], estimator="biased").feature_corrected).all()


def test_chance_is_that_of_the_unbiased_estimator(rng):
    x, y = correlated(50, 6, rng), correlated(50, 8, rng)
    plain = fastcka.compare([x, y], inference=True)
    given = fastcka.compare([x, y], estimator="feature_corrected", inference=True)
    np.testing.assert_allclose(given.z[0, 1], plain.z[0, 1], rtol=1e-9)
    factor = given.cka[0, 1] / plain.cka[0, 1]
    assert given.null_sd[0, 1] == pytest.approx(factor * plain.null_sd[0, 1], rel=1e-9)


@pytest.mark.parametrize("far", [False, True])
def test_matched_units_against_pairs_of_features(far, rng):
    shared = rng.standard_normal((50, 1)) * 30
    xs = [shared + correlated(50, 6, rng) for _ in range(3)]
    if far:
        for x in xs:
            x[[4, 9]] *= 1e3
    result = fastcka.compare(xs, units="same", estimator="feature_corrected")
    zs = [x - np.median(x, axis=0) for x in xs]

    def numerator(x, y):
        p = x.shape[1]
        pairs = [(a, b) for a in range(p) for b in range(p) if a != b]
        return sum(between(x[:, [a]], y[:, [b]]) for a, b in pairs) * p / (p - 1)

    selves = [numerator(z, z) for z in zs]
    for i, j in ((0, 1), (0, 2), (2, 1)):
        expected = numerator(zs[i], zs[j]) / np.sqrt(selves[i] * selves[j])
        assert result.cka[i, j] == pytest.approx(expected, rel=1e-8 if far else 1e-10)
    np.testing.assert_allclose(result.cka.diagonal(), 1, rtol=1e-7)
    value = fastcka.cka(xs[0], xs[1], units="same", estimator="feature_corrected")
    assert value == pytest.approx(result.cka[0, 1], rel=1e-12)


@pytest.mark.parametrize("far", [[4], [4, 4], [4, 8], [8, 4]])
def test_far_examples_of_matched_units_in_rational_arithmetic(far, rng):
    """An example 10^7 times as far in one representation is an ordinary one of another."""
    factor = rng.integers(-20, 20, (12, 1))
    xs = [9.0 * factor + rng.integers(-20, 20, (12, 3)) for _ in range(2)]
    for row, x in zip(far, xs, strict=False):
        x[row] *= 1e7

    def numerator(x, y):
        x, y = (np.array([[Fraction(int(v)) for v in row] for row in z]) for z in (x, y))
        pairs = itertools.permutations(range(3), 2)
        with np.errstate(all="ignore"):
            return float(sum(between(x[:, [a]], y[:, [b]]) for a, b in pairs))

    expected = numerator(*xs) / np.sqrt(numerator(xs[0], xs[0])) / np.sqrt(numerator(xs[1], xs[1]))
    result = fastcka.compare(xs, units="same").feature_corrected
    assert result[0, 1] == pytest.approx(expected, rel=1e-7)


def test_matched_units_with_few_examples(rng):
    for n in (2, 3):
        x, y = rng.standard_normal((2, n, 3))
        result = fastcka.compare([x, y], estimator="biased", units="same")
        assert result.cka[0, 1] == pytest.approx(oracle.cka(x, y, "biased"), abs=1e-12)
        assert np.isnan(result.feature_corrected).all()


def test_matched_units_have_no_closed_null(rng):
    """Under permutation the numerator loses its terms of equal units, so its variance differs."""
    x = rng.standard_normal((7, 1)) * 30 + correlated(7, 3, rng)
    y = x + rng.standard_normal((7, 3))
    options = {"estimator": "feature_corrected", "units": "same"}
    values = [
        fastcka.cka(x, y[list(order)], **options) for order in itertools.permutations(range(7))
    ]
    independent = fastcka.compare([x, y], estimator="feature_corrected")
    assert np.std(values) != pytest.approx(independent.null_sd[0, 1], rel=1e-3)
    result = fastcka.compare([x, y], **options)
    assert result.null_mean is result.null_sd is result.z is result.moments is None
    with pytest.raises(InputError, match="inference: the null distribution of estimator"):
        fastcka.compare([x, y], inference=True, **options)
    assert fastcka.compare([x, y], units="same", inference=True).p_value is not None


def test_matched_units_need_equal_widths(rng):
    x = rng.standard_normal((20, 3))
    with pytest.raises(InputError, match=r"units='same': .* has 2 features and .* has 3"):
        fastcka.compare([x, x[:, :2]], units="same")
    with pytest.raises(InputError, match="units must be one of independent, same, got 'equal'"):
        fastcka.compare([x, x], units="equal")
