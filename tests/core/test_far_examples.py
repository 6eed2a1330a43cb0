"""Examples far from all others, such as the first token of a text in language models.

The unbiased estimate does not depend on a centre, so far examples cost no digits.
"""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

import fastcka
import oracle
from checks import cka_by, worst_error_of
from samples import staged_copy, with_far_rows


def exact_unbiased(x, y):
    """Song et al. 2012 in exact rational arithmetic; for small n."""
    n = len(x)

    def centered(a):
        rows = [[Fraction(float(value)) for value in row] for row in a]
        k = [
            [sum(p * q for p, q in zip(rows[i], rows[j], strict=True)) * (i != j) for j in range(n)]
            for i in range(n)
        ]
        sums = [sum(row) for row in k]
        total = sum(sums) / ((n - 1) * (n - 2))
        return [
            k[i][j] - (sums[i] + sums[j]) / (n - 2) + total
            for i, j in product(range(n), range(n))
            if i != j
        ]

    a, b = centered(x), centered(y)
    dot = [sum(p * q for p, q in zip(c, d, strict=True)) for c, d in ((a, b), (a, a), (b, b))]
    return float(dot[0]) / math.sqrt(float(dot[1]) * float(dot[2]))


@pytest.mark.parametrize("far", [1, 100, 1e4, 1e6, 1e8])
@pytest.mark.parametrize("n", [4, 5, 9, 10, 30, 65])
def test_one_far_example_in_rational_arithmetic(device, n, far):
    x = np.sin(np.arange(2.0 * n)).reshape(n, 2)
    y = np.cos(0.1 * np.arange(2.0 * n) ** 2).reshape(n, 2)
    x[n // 2], y[n // 2] = [far, 0], [0, far]
    assert fastcka.cka(x, y, device=device) == pytest.approx(exact_unbiased(x, y), abs=1e-9)


def test_the_definition_about_the_median_agrees_with_rational_arithmetic():
    x, y = with_far_rows(0, 40, 3, 1, 1e4)
    assert oracle.cka_matrix_about_median([x, y], "unbiased")[0, 1] == pytest.approx(
        exact_unbiased(x, y), abs=1e-13
    )


@pytest.mark.parametrize("route", ["G", "F"])
@pytest.mark.parametrize(("n", "d"), [(65, 2), (65, 64), (512, 2), (512, 64), (700, 300)])
def test_both_routes(implementation, route, n, d):
    errors = {}
    for count, factor in product((1, max(1, n // 100)), (1e2, 1e3, 1e6)):
        for alike, offset in ((False, 0.0), (True, 0.0), (False, 1e4)):
            xs = with_far_rows([n, d, count], n, d, count, factor, alike=alike, offset=offset)
            case = (count, factor, alike, offset)
            errors[case] = worst_error_of(cka_by(xs, route=route), xs)
            assert worst_error_of(cka_by(xs, route=route, precision="float64"), xs) < 1e-11
    case = max(errors, key=errors.get)
    assert errors[case] <= 1e-6, case


@pytest.mark.parametrize("route", ["G", "F"])
def test_far_in_one_representation_only(implementation, route):
    x, y = with_far_rows(1, 300, 20, 2, 1e5)
    ordinary = with_far_rows(2, 300, 30, 1, 1.0, m=3)
    other = with_far_rows(3, 300, 10, 3, 1e3)[0]
    xs = [x, *ordinary, y, other]
    assert worst_error_of(cka_by(xs, route=route), xs) <= 1e-6


def test_more_far_examples_than_a_chunk(implementation):
    xs = with_far_rows(9, 2500, 12, 45, 1e4)
    assert worst_error_of(cka_by(xs, route="F", chunk=16), xs) <= 1e-6


@pytest.mark.parametrize("route", ["G", "F"])
@pytest.mark.parametrize("count", [3, 40, 150, 250])
def test_any_number_of_far_examples(implementation, route, count):
    # From a few examples to a half, which are then no longer far from the others.
    xs = with_far_rows(4, 500, 12, count, 1e3)
    assert worst_error_of(cka_by(xs, route=route), xs) <= 1e-6


@pytest.mark.parametrize("route", ["G", "F"])
def test_heavy_tails(implementation, rng, route):
    # Examples of every length: no limit separates the far ones.
    x = rng.standard_normal((600, 8)) * np.exp(3 * rng.standard_normal((600, 1)))
    y = x @ rng.standard_normal((8, 8)) * np.exp(rng.standard_normal((600, 1)))
    xs = [x.astype(np.float32), y.astype(np.float32)]
    assert worst_error_of(cka_by(xs, route=route), xs) <= 1e-6


@pytest.mark.parametrize("route", ["G", "F"])
def test_most_examples_are_equal(implementation, rng, route):
    x = np.zeros((400, 6), np.float32)
    x[::7] = rng.standard_normal((58, 6))
    x[3] = 1e5
    y = (x + rng.standard_normal((400, 6))).astype(np.float32)
    assert worst_error_of(cka_by([x, y], route=route), [x, y]) <= 1e-6


@pytest.mark.parametrize("period", [50, 100, 128])
def test_far_examples_at_regular_positions(period):
    # The first tokens of texts of a fixed length. A sample at regular steps could be all of them.
    n = 64 * period
    rng = np.random.default_rng(period)
    x = rng.standard_normal((n, 3))
    x[::period] += 1e5
    y = x @ rng.standard_normal((3, 3)) + rng.standard_normal((n, 3))
    xs = [x.astype(np.float32), y.astype(np.float32)]
    result = fastcka.compare(xs, device="cpu")
    assert worst_error_of({"biased": result.biased, "unbiased": result.unbiased}, xs) <= 1e-6


@pytest.mark.parametrize("route", ["G", "F"])
@pytest.mark.parametrize("precision", ["high", "float64"])
def test_same_bits_for_any_threads(implementation, route, precision):
    xs = with_far_rows(5, 450, 40, 4, 1e5, m=3)
    one = cka_by(xs, route=route, precision=precision, threads=1)
    for threads in (2, 3, 8):
        many = cka_by(xs, route=route, precision=precision, threads=threads)
        for estimator, matrix in many.items():
            np.testing.assert_array_equal(matrix, one[estimator])


@pytest.mark.parametrize("route", ["G", "F"])
def test_staged_gives_the_same_bits(route):
    xs = with_far_rows(6, 200, 30, 2, 1e5, m=3)
    plain = cka_by(xs, route=route)
    in_place = cka_by([staged_copy(x) for x in xs], route=route)
    for estimator in plain:
        np.testing.assert_array_equal(plain[estimator], in_place[estimator])


def test_hsic_has_the_units_of_the_data(device):
    x, y = (z.astype(np.float64) for z in with_far_rows(7, 80, 4, 1, 1e4))
    for estimator in ("biased", "unbiased"):
        scaled = fastcka.hsic(x * 2.0**40, y * 2.0**-30, estimator=estimator, device=device)
        assert scaled == fastcka.hsic(x, y, estimator=estimator, device=device) * 2.0**20


def test_values_near_the_largest_float64(device):
    x, y = (z.astype(np.float64) for z in with_far_rows(8, 80, 4, 1, 1e4))
    expected = fastcka.cka(x, y, device=device)
    assert fastcka.cka(x * 2.0**980, y, device=device) == expected
