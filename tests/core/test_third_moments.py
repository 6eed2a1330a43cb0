"""Third moments from features and from Gram tiles, against matrices of n x n in float64."""

from __future__ import annotations

import numpy as np
import pytest

import fastcka
from fastcka.core import plan_pass
from oracle import third_moments


def data(kind, n, d, rng):
    x = rng.standard_normal((n, d))
    if kind == "heavy tails":
        x = rng.standard_t(3, (n, d)) ** 3
    elif kind == "one far example":
        x[n // 2] *= 1e4
    elif kind == "far examples":
        x[[1, 3]] *= 1e4
        x[5] += 1e6
    elif kind == "skewed":
        x = rng.exponential(size=(n, d)) + 0.3 * rng.exponential(size=(n, 1))
    elif kind == "offset":
        x = x + 1e4
    return x


KINDS = ["Gaussian", "heavy tails", "one far example", "far examples", "skewed", "offset"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("n", "widths", "copies", "precision", "route"),
    [
        (200, [1, 9, 130], 1, "float64", "F"),
        (200, [1, 9, 130], 30, "float64", "G"),
        (600, [7, 17, 120], 1, "high", "F"),
        (300, [7, 16, 150], 40, "high", "G"),
        (600, [7, 17, 120], 3, "fast", "F"),
    ],
)
def test_both_ways(implementation, n, widths, copies, precision, route, kind, rng):
    """Wide representations take Gram tiles and narrow ones features, in one pass."""
    xs = [data(kind, n, d, rng).astype(np.float32) for d in widths]
    plan = plan_pass(n, widths * copies, precision=precision, inference=True)
    assert plan.route == route
    assert plan.moment_routes[0] == "F"
    assert plan.moment_routes[-1] == "G"
    result = fastcka.compare(xs * copies, precision=precision, inference=True)
    products = result.provenance["products"]
    # Rounding the data to bfloat16 changes the sums by up to 4e-3, by either way.
    tolerance = {"float64": 1e-11, "float32": 1e-6, "bfloat16": 1e-2}[products]
    for i, x in enumerate(xs):
        for name, expected in third_moments(x).items():
            assert getattr(result.moments, name)[i] == pytest.approx(expected, abs=tolerance), name


def test_many_examples(rng):
    """Several ranges of examples are summed apart; n^2 entries of U from its row sums."""
    n = 4500
    x = rng.exponential(size=(n, 6))
    assert plan_pass(n, [6], inference=True).moment_routes == ("F",)
    centered = x - x.mean(0)
    u = centered @ centered.T
    np.fill_diagonal(u, 0)
    rows = u.sum(1) / (n - 2)
    u += u.sum() / ((n - 1) * (n - 2)) - rows - rows[:, None]
    np.fill_diagonal(u, 0)
    expected = np.einsum("ij,ij,ij", u, u, u) / np.linalg.norm(u) ** 3
    assert fastcka.compare([x], inference=True).moments.cubes[0] == pytest.approx(
        expected, abs=1e-9
    )


def test_long_examples_that_are_not_far(implementation, rng):
    """More examples are long than can be far, so the cubes of the diagonal exceed all others."""
    x = rng.standard_normal((400, 10))
    x[:17] *= 9
    x[20] *= 62
    result = fastcka.compare([x] * 60, inference=True)
    assert result.provenance["products"] == "float32"
    assert plan_pass(400, [10] * 60, inference=True).moment_routes[0] == "F"
    k = np.sum((x - x.mean(0)) ** 2, axis=1)
    u = x @ x.T - np.diag(np.sum(x**2, axis=1))
    assert np.sum(k**3) > 16 * np.linalg.norm(u) ** 3
    for name, expected in third_moments(x).items():
        if name != "triangles":
            assert getattr(result.moments, name)[0] == pytest.approx(expected, abs=3e-7), name


@pytest.mark.parametrize(("n", "d", "copies"), [(3000, 24, 1), (9000, 8, 1), (400, 10, 60)])
def test_any_number_of_threads_gives_the_same_bits(n, d, copies, rng):
    xs = [rng.standard_normal((n, d)), rng.standard_normal((n, d // 2 + 1))] * copies
    xs[0][5] *= 1e3
    one, *more = (fastcka.compare(xs, inference=True, threads=k).moments for k in (1, 2, 5))
    for other in more:
        for name, values in one.arrays().items():
            np.testing.assert_array_equal(values, other.arrays()[name])


def test_the_plan_counts_third_moments():
    """In flops, seconds and bytes; from features they cost less than from Gram matrices."""
    without = plan_pass(20000, [64] * 24)
    made = plan_pass(20000, [64] * 24, inference=True)
    assert made.moment_routes == ("F",) * 24
    # Of each: n d^3/6 multiply-adds and up to twice as many, n d^2 3/2 further ones.
    least = 2 * 24 * 20000 * (64**3 / 6 + 1.5 * 64**2)
    assert least < made.flops - without.flops < 2 * least
    assert made.seconds > 1.5 * without.seconds
    assert made.bytes_results > without.bytes_results
    assert "third moments of 24 of 24 from features" in made.explain()
    assert made.to_dict()["moment_routes"] == ("F",) * 24

    without = plan_pass(2000, [512] * 21)
    made = plan_pass(2000, [512] * 21, inference=True)
    assert made.moment_routes == ("G",) * 21
    entries, traces = 2000**2 / 2, 2000 * 512**2 / 2 + 512**3 / 2
    assert made.flops - without.flops == pytest.approx(21 * (14 * entries + 2 * traces))
    assert 1.05 * without.seconds < made.seconds < 3 * without.seconds
    assert without.moment_routes == ()
