"""The null distribution of a similarity, against permutations of the examples."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

import fastcka
import oracle


def centered_grams(x):
    """The two Gram matrices whose normalised products are the biased and the unbiased CKA."""
    n = len(x)
    x = x - np.median(x, axis=0)
    k = x @ x.T
    h = np.eye(n) - 1 / n
    u = k - np.diag(np.diag(k))
    rows = u.sum(1) / (n - 2)
    u = u - rows[:, None] - rows + u.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(u, 0)
    return {"biased": h @ k @ h, "unbiased": u}


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
def test_mean_and_variance_are_those_of_all_permutations(kind, estimator, rng):
    x, y = data(kind, 7, rng)
    all_values = permuted(x, y, list(permutations(range(7))))[estimator]
    result = fastcka.compare([x, y], estimator=estimator)
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
