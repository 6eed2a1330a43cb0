"""The sums over subsets of the examples, from one pass, against a pass over these alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import fastcka
import oracle
from fastcka.core import Group, StagedRepresentation
from fastcka.core.backend import resolve_implementation, run_passes
from fastcka.core.inference.moments import moments_of
from fastcka.core.plan_cache import plan_on_cpu
from fastcka.core.request import Request
from fastcka.core.subsets import Subsets, estimates_of
from fastcka.core.sums import SelfSums
from samples import related

WIDTHS = (64, 100, 17, 5)


def subsets_of(rng, n, count, *, nested=False, uneven=False):
    fold = rng.integers(0, count, n)
    if uneven:
        fold[rng.random(n) < 0.6] = 1
    fold[:count] = np.arange(count)
    return Subsets(fold, nested)


def kept(subsets, subset):
    return subsets.fold <= subset if subsets.nested else subsets.fold != subset


def sums_by(representations, subsets, route, precision="high", threads=2, **forced):
    if forced.get("products") == "float32":
        forced["tile"] = resolve_implementation().float32.step
    if forced.get("products") == "bfloat16":
        if resolve_implementation().fast is None:
            pytest.skip("this processor has no products of bfloat16")
        forced["tile"] = resolve_implementation().fast.step
    request = Request.of_group(Group(representations), "biased")
    request.subsets = subsets
    plan = plan_on_cpu(
        request.views, precision, threads, subsets=0 if subsets is None else subsets.count
    )
    plan = replace(plan, route=route, threads=threads, **forced)
    (sums,) = run_passes([request], [plan], threads=threads)
    return sums


def worst_error(xs, subsets, definition, *how, **options):
    sums = sums_by(xs, subsets, *how, **options)
    worst = 0.0
    for estimator in ("biased", "unbiased"):
        values = [each.cka for each in estimates_of(sums, subsets, estimator)]
        for subset, size in enumerate(subsets.sizes):
            if size < 8:
                continue
            expected = definition([x[kept(subsets, subset)] for x in xs], estimator)
            worst = np.max([worst, np.abs(values[subset] - expected).max()])
    return worst


@pytest.mark.parametrize("route", ["G", "F"])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    ("n", "count", "uneven"), [(60, 20, False), (403, 20, True), (700, 3, False)]
)
def test_definition_on_the_remaining_examples(implementation, rng, route, nested, n, count, uneven):
    xs = related(rng, n, WIDTHS)
    subsets = subsets_of(rng, n, count, nested=nested, uneven=uneven)
    assert worst_error(xs, subsets, oracle.cka_matrix, route, "float64") < 1e-12
    products = {} if n < 100 else {"products": "float32"}
    assert worst_error(xs, subsets, oracle.cka_matrix, route, **products) < 1e-6


@pytest.mark.parametrize("route", ["G", "F"])
@pytest.mark.parametrize("factor", [1e2, 1e5])
def test_far_examples_in_some_folds(implementation, rng, route, factor):
    xs = related(rng, 500, WIDTHS)
    xs[1][7] *= factor
    xs[0][[3, 50, 200, 201]] *= factor
    xs[3][3] *= 10 * factor
    subsets = subsets_of(rng, 500, 12, uneven=True)
    definition = oracle.cka_matrix_about_median
    assert worst_error(xs, subsets, definition, route, "float64") < 1e-11
    assert worst_error(xs, subsets, definition, route, products="float32") < 1e-6


def test_bfloat16_products(rng):
    xs = related(rng, 501, WIDTHS)
    subsets = subsets_of(rng, 501, 7)
    for route in ("G", "F"):
        request = Request.of_group(Group(xs), "biased")
        plan = plan_on_cpu(request.views, "fast", 2, subsets=7)
        if plan.products == "float32":
            pytest.skip("this processor has no products of bfloat16")
        assert worst_error(xs, subsets, oracle.cka_matrix, route, "fast") < 5e-4


@pytest.mark.parametrize("route", ["G", "F"])
@pytest.mark.parametrize("moment_route", ["G", "F"])
@pytest.mark.parametrize("far", [False, True])
def test_third_moments_with_folds_of_odd_size(rng, route, moment_route, far):
    xs = related(rng, 501, WIDTHS)
    if far:
        xs[1][[5, 90]] *= 1e3
    subsets = subsets_of(rng, 501, 7)
    for products, tolerance in (("float64", 1e-11), ("float32", 1e-5), ("bfloat16", 1e-3)):
        precision = "float64" if products == "float64" else "high"
        whole, folded = (
            sums_by(xs, each, route, precision, products=products, moment_routes=[moment_route] * 4)
            for each in (None, subsets)
        )
        for name, values in moments_of(SelfSums.of_sums(whole), np.ones(4)).arrays().items():
            moments = moments_of(SelfSums.of_sums(folded), np.ones(4)).arrays()
            np.testing.assert_allclose(moments[name], values, rtol=0, atol=tolerance, err_msg=name)


def test_compare_on_the_remaining_examples(rng):
    xs = [x.astype(np.float32) for x in related(rng, 900, (200, 300, 120))]
    subsets = subsets_of(rng, 900, 9)
    for route in ("G", "F"):
        values = [
            each.cka for each in estimates_of(sums_by(xs, subsets, route), subsets, "unbiased")
        ]
        for subset in range(9):
            alone = fastcka.compare([x[kept(subsets, subset)] for x in xs])
            np.testing.assert_allclose(values[subset], alone.unbiased, rtol=0, atol=1e-6)


@pytest.mark.parametrize("route", ["G", "F"])
def test_same_bits_for_any_number_of_threads(rng, route):
    xs = related(rng, 700, WIDTHS)
    xs[2][9] *= 1e3
    subsets = subsets_of(rng, 700, 20)
    first, *others = [sums_by(xs, subsets, route, threads=threads) for threads in (1, 2, 5)]
    for other in others:
        for name, values in first.subsets.items():
            np.testing.assert_array_equal(other.subsets[name], values)
        np.testing.assert_array_equal(other.s0, first.s0)


def test_batches_have_the_same_bits(rng):
    xs = related(rng, 300, WIDTHS)
    subsets = subsets_of(rng, 300, 8)
    at_once, batched = (sums_by(xs, subsets, "G", batch=batch) for batch in (0, 3))
    for name, values in at_once.subsets.items():
        np.testing.assert_array_equal(batched.subsets[name], values, err_msg=name)


def test_a_staged_representation_is_copied(rng):
    xs = [x.astype(np.float32) for x in related(rng, 400, (64, 48))]
    buffer = StagedRepresentation.empty(400, 64)
    buffer.array[...] = xs[0]
    subsets = subsets_of(rng, 400, 5)
    expected = sums_by(xs, subsets, "G")
    np.testing.assert_array_equal(sums_by([buffer, xs[1]], subsets, "G").s0, expected.s0)
