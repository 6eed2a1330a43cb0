"""The null distribution of a similarity, against permutations of the examples."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

import fastcka
import oracle
from oracle import centered_grams, third_moments


def permuted(x, y, orders):
    """CKA of x and y with the examples of y in each order, by both estimators."""
    values = {}
    for name, k in centered_grams(x).items():
        m = centered_grams(y)[name]
        scale = np.linalg.norm(k) * np.linalg.norm(m)
        values[name] = np.array([(k * m[np.ix_(order, order)]).sum() for order in orders]) / scale
    return values


def data(kind, n, rng):
    x, y = rng.standard_normal((n, 5)), rng.standard_normal((n, 3))
    if kind == "heavy tails":
        x, y = rng.standard_t(2, (n, 5)), rng.standard_t(2, (n, 3))
    elif kind == "low rank":
        x = rng.standard_normal((n, 1)) @ rng.standard_normal((1, 5)) + 0.01 * x
    elif kind == "clusters":
        x = x * 0.1 + rng.integers(0, 3, (n, 1)) * 4
    elif kind == "far examples":
        x[2] *= 1e3
        y[[1, 3]] += 300
    elif kind == "offset":
        x, y = x + 1e4, y - 1e3
    elif kind == "one feature":
        x = x[:, :1]
    return x, y


KINDS = ["Gaussian", "heavy tails", "low rank", "clusters", "far examples", "offset", "one feature"]


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
@pytest.mark.parametrize("kind", KINDS)
def test_mean_and_variance_are_those_of_all_permutations(device, kind, estimator, rng):
    x, y = data(kind, 7, rng)
    all_values = permuted(x, y, list(permutations(range(7))))[estimator]
    result = fastcka.compare([x, y], estimator=estimator, device=device)
    assert result.null_mean[0, 1] == pytest.approx(all_values.mean(), abs=1e-12)
    assert result.null_sd[0, 1] ** 2 == pytest.approx(all_values.var(), abs=1e-12)
    z = (oracle.cka(x, y, estimator) - all_values.mean()) / all_values.std()
    assert result.z[0, 1] == pytest.approx(z, abs=1e-6 if kind == "far examples" else 1e-9)


@pytest.mark.parametrize(("n", "d"), [(150, 60), (40, 2000), (1000, 10)])
def test_mean_is_that_of_random_features_on_both_routes(n, d, rng):
    """Kazi-Aoual et al. 1995, with the sums taken from the centred Gram matrices."""
    xs = [rng.standard_normal((n, d)), rng.standard_t(3, (n, d // 2))]
    result = fastcka.compare(xs, estimator="biased")
    k, m = (centered_grams(x)["biased"] for x in xs)
    scale = np.linalg.norm(k) * np.linalg.norm(m)
    mean = np.trace(k) * np.trace(m) / (n - 1) / scale
    assert result.null_mean[0, 1] == pytest.approx(mean, rel=1e-6)

    def tau(k):
        beta = np.trace(k) ** 2 / np.sum(k * k)
        delta = np.sum(np.diag(k) ** 2) / np.sum(k * k)
        return beta, (n - 1) / ((n - 3) * (n - 1 - beta)) * (
            n * (n + 1) * delta - (n - 1) * (beta + 2)
        )

    (bx, tx), (by, ty) = tau(k), tau(m)
    variance = 2 * (n - 1 - bx) * (n - 1 - by) / ((n + 1) * (n - 1) ** 2 * (n - 2))
    variance *= 1 + (n - 3) / (2 * n * (n - 1)) * tx * ty
    assert result.null_sd[0, 1] ** 2 == pytest.approx(variance, rel=1e-5)


def test_far_examples_among_many(rng):
    x, y = rng.standard_normal((120, 20)), rng.standard_normal((120, 30))
    x[[5, 17]] *= 1e4
    y[100] += 1e6
    values = permuted(x, y, [rng.permutation(120) for _ in range(2000)])["biased"]
    for given in ([x, y], [x, y] * 6):  # by either route
        result = fastcka.compare(given, estimator="biased")
        # 1.5: a far example makes the distribution long-tailed, and its sampled variance uncertain.
        assert result.null_mean[0, 1] == pytest.approx(values.mean(), abs=4 * values.std() / 45)
        assert 1 / 1.5 < result.null_sd[0, 1] / values.std() < 1.5


def test_few_examples(rng):
    x, y = rng.standard_normal((2, 3, 4))
    values = [oracle.cka(x, y[list(order)], "biased") for order in permutations(range(3))]
    result = fastcka.compare([x, y], estimator="biased")
    assert result.null_mean[0, 1] == pytest.approx(np.mean(values), abs=1e-12)
    assert result.null_sd[0, 1] == pytest.approx(np.std(values), abs=1e-12)
    constant = fastcka.compare([x, np.ones((3, 2))], estimator="biased")
    assert np.isnan(constant.z[0, 1])
    assert np.isnan(constant.null_mean[0, 1])
    two = fastcka.compare([x[:2], y[:2]], estimator="biased")  # every order gives the same value
    assert (two.null_mean[0, 1], two.null_sd[0, 1]) == (pytest.approx(1), 0)
    assert np.isnan(two.z[0, 1])


@pytest.mark.parametrize("estimator", ["biased", "unbiased", "feature_corrected"])
@pytest.mark.parametrize("n", [6, 8, 40])
def test_calibrated_values_by_their_definition(n, estimator, rng):
    """For few examples the threshold is often 1 or more: a value below it is within chance."""
    beyond_one = 0
    for _ in range(60):
        x = rng.standard_normal((n, 1)) * 0.7 + rng.standard_normal((n, 4))
        y = x[:, :2] + rng.standard_normal((n, 2)) * rng.choice([0.1, 3])
        result = fastcka.compare([x, y], estimator=estimator, inference=True)
        value = float(result.cka[0, 1])
        threshold = float(result._null.threshold(0.95)[0, 1])
        if np.isnan(value):
            assert np.isnan(result.calibrated[0, 1])
            continue
        expected = 0.0
        if value > threshold:
            expected = 1.0 if threshold >= 1 else min(1.0, (value - threshold) / (1 - threshold))
        beyond_one += threshold >= 1
        assert result.calibrated[0, 1] == pytest.approx(expected, abs=1e-12)
    assert beyond_one > 0 or n == 40 or estimator != "feature_corrected"


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
@pytest.mark.parametrize("kind", KINDS)
def test_skewness_is_that_of_all_permutations(kind, estimator, rng):
    x, y = data(kind, 7, rng)
    values = permuted(x, y, list(permutations(range(7))))[estimator]
    result = fastcka.compare([x, y], estimator=estimator, inference=True)
    third = ((values - values.mean()) ** 3).mean()
    assert result._null.skewness[0, 1] * result.null_sd[0, 1] ** 3 == pytest.approx(
        third, abs=1e-12
    )


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize(
    ("n", "d", "copies", "precision", "route"),
    [
        (30, 5, 1, "high", "F"),
        (30, 5, 7, "high", "G"),
        (300, 50, 1, "float64", "F"),
        (300, 50, 7, "high", "G"),
        (300, 50, 7, "fast", "G"),
        (310, 500, 2, "high", "G"),
    ],
)
def test_third_moments(implementation, n, d, copies, precision, route, far, rng):
    """Matrices of n x n, in which far examples and the others of one group meet."""
    xs = [rng.standard_normal((n, d)), rng.standard_t(2, (n, d // 2 + 1))]
    if far:
        xs[0][2] *= 1e4
        xs[1][[1, 3]] += 1e5
    result = fastcka.compare(xs * copies, precision=precision, inference=True)
    assert result.provenance["route"] == route
    tolerance = {"float64": 1e-11, "float32": 1e-5, "bfloat16": 1e-3}[result.provenance["products"]]
    for i, x in enumerate(xs):
        for name, expected in third_moments(x).items():
            assert getattr(result.moments, name)[i] == pytest.approx(expected, abs=tolerance), name


def test_third_moments_of_batches(rng):
    """8 x 1000 x 3000: the copies are centred in batches, and d > n."""
    x = rng.standard_normal((1000, 3000)).astype(np.float32)
    result = fastcka.compare([x] * 8, inference=True)
    for name, expected in third_moments(x).items():
        np.testing.assert_allclose(getattr(result.moments, name), expected, atol=1e-6)


def test_third_moments_have_the_same_bits_for_any_threads(rng):
    for n, d in ((500, 30), (200, 300)):
        xs = [rng.standard_normal((n, d)) for _ in range(3)]
        xs[1][5] *= 1e3
        one, many = (fastcka.compare(xs, inference=True, threads=k) for k in (1, 5))
        for name, values in one.moments.arrays().items():
            np.testing.assert_array_equal(values, many.moments.arrays()[name])
        np.testing.assert_array_equal(one.p_value, many.p_value)


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
@pytest.mark.parametrize("kind", ["Gaussian", "low rank", "clusters", "offset"])
def test_quantiles_of_sampled_permutations(kind, estimator, rng):
    """20,000 permutations at n = 40: quantiles within 5 standard errors of their ranks."""
    x, y = data(kind, 40, rng)
    k, m = centered_grams(x)[estimator], centered_grams(y)[estimator]
    values = np.empty(20_000)
    for draw in range(len(values)):
        order = rng.permutation(40)
        values[draw] = np.vdot(k, m[order][:, order])
    values /= np.linalg.norm(k) * np.linalg.norm(m)
    null = fastcka.compare([x, y], estimator=estimator, inference=True)._null
    for level in (0.95, 0.99):
        beyond = (values > null.threshold(level)[0, 1]).mean()
        expected = 1 - level
        assert abs(beyond - expected) < 5 * np.sqrt(expected / len(values)) + 0.2 * expected
