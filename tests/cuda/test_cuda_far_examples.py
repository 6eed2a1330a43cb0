"""Examples far from all others, in the pass on a device: both routes, all products.

The emulated device runs the same kernels, compiled for the processor.
"""

from __future__ import annotations

import numpy as np
import pytest

import fastcka
import oracle
from checks import worst_error_of
from cuda.forced_pass import submitted
from fastcka.core.backend import cuda_runtime
from fastcka.core.estimators import estimate
from samples import related, with_far_rows

ROUTES = ["G", "F"]
#: Largest errors of CKA, by products.
TOLERANCE = {"float32": 2e-6, "float16x3": 2e-6, "float16": 5e-4, "float64": 1e-12}
SMALL = {"G": {"tile": 64, "rank_chunk": 512}, "F": {"tile": 96, "chunk": 112}}


def far_pass(representations, *, route, **forced):
    return submitted(representations, route=route, **SMALL[route] | forced)


def both(sums):
    return {estimator: estimate(sums, estimator).cka for estimator in ("biased", "unbiased")}


def check(representations, *, products, tolerance=None, **how):
    matrices = both(far_pass(representations, products=products, **how).result())
    assert worst_error_of(matrices, representations) <= (tolerance or TOLERANCE[products])
    for matrix in matrices.values():
        np.testing.assert_array_equal(matrix, matrix.T)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("products", TOLERANCE)
@pytest.mark.parametrize("factor", [1e2, 1e4, 1e8])
@pytest.mark.parametrize(
    ("n", "d", "count", "alike", "offset"),
    [(65, 17, 1, False, 0.0), (130, 90, 3, True, 0.0), (130, 5, 2, False, 1e4)],
)
def test_agrees_with_definition(emulated, route, products, factor, n, d, count, alike, offset):
    xs = with_far_rows([n, d, count], n, d, count, factor, alike=alike, offset=offset)
    check(xs, route=route, products=products)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("products", TOLERANCE)
def test_farther_than_fp16_reaches(emulated, route, products):
    # Too large for float32: products of four values are 1e60 times as large as the others.
    xs = [x.astype(np.float64) for x in with_far_rows(9, 90, 20, 1, 1e15)]
    if products == "float32":  # squares of Gram entries above 3e38 overflow
        xs = [x.astype(np.float64) for x in with_far_rows(9, 90, 20, 1, 1e9)]
    check(xs, route=route, products=products)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("products", TOLERANCE)
def test_far_in_one_representation_only(emulated, route, products):
    x, y = with_far_rows(1, 150, 20, 2, 1e5)
    ordinary = with_far_rows(2, 150, 40, 1, 1.0, m=3)
    other = with_far_rows(3, 150, 40, 3, 1e3)[0]
    check([x, *ordinary, y, other], route=route, products=products)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("count", [3, 40, 90, 170])
def test_any_number_of_far_examples(emulated, route, count):
    # From a few to most: many of them are not far from the rest, but a part of it.
    xs = with_far_rows(4, 210, 12, count, 1e3)
    check(xs, route=route, products="float32")


@pytest.mark.parametrize("route", ROUTES)
def test_more_far_examples_than_are_multiplied_at_a_time(emulated, route):
    # Each of 40 representations has two far examples. A batch of kernels takes 32 representations.
    rng = np.random.default_rng(10)
    xs = related(rng, 300, [3 + i % 5 for i in range(40)])
    for i, x in enumerate(xs):
        x[[2 * i, 2 * i + 1]] *= 1e5
    pending = far_pass(xs, route=route, products="float64")
    assert worst_error_of(both(pending.result()), xs) <= 1e-12
    assert pending.far == tuple(range(80))


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("products", TOLERANCE)
def test_heavy_tails(emulated, rng, route, products):
    # Examples of every length: no limit separates the far ones from the others.
    x = rng.standard_normal((200, 8)) * np.exp(3 * rng.standard_normal((200, 1)))
    y = x @ rng.standard_normal((8, 8)) * np.exp(rng.standard_normal((200, 1)))
    xs = [x.astype(np.float32), y.astype(np.float32)]
    check(xs, route=route, products=products)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("products", TOLERANCE)
def test_most_examples_are_equal(emulated, rng, route, products):
    x = np.full((200, 6), 0.1, np.float32)
    x[::7] = rng.standard_normal((29, 6))
    x[3] = 1e5
    y = (x + rng.standard_normal((200, 6))).astype(np.float32)
    check([x, y], route=route, products=products)


@pytest.mark.parametrize("route", ROUTES)
def test_all_but_one_example_are_equal(emulated, rng, route):
    x = np.full((100, 6), 0.1)
    x[71] = 1e5
    y = rng.standard_normal((100, 6))
    matrices = both(far_pass([x, y], route=route, products="float64").result())
    expected = oracle.cka_matrix_about_median([x, y], "biased")
    np.testing.assert_allclose(matrices["biased"], expected, atol=1e-12)
    # With one example that differs, the Gram matrix is zero off the diagonal.
    assert np.isnan(matrices["unbiased"][0]).all()


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_layouts_and_dtypes(emulated, route, dtype):
    xs = [x.astype(dtype) for x in with_far_rows(11, 120, 30, 2, 300.0, m=3)]
    wide = np.repeat(np.repeat(xs[1], 2, axis=0), 3, axis=1)[::2, ::3]
    matrices = both(
        far_pass(
            [np.asfortranarray(xs[0]), wide, xs[2][::-1][::-1]], route=route, products="float64"
        ).result()
    )
    assert worst_error_of(matrices, xs) <= 1e-12


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("products", TOLERANCE)
def test_the_same_bits_every_time(emulated, monkeypatch, route, products):
    xs = with_far_rows(12, 130, 40, 3, 1e4, m=3)
    distinct = set()
    # Several orders of threads and blocks; then a CUDA graph instead of single calls.
    for order in ("forward", "reverse", "shuffle", "forward"):
        monkeypatch.setenv("FASTCKA_EMULATION_ORDER", order)
        sums = far_pass(xs, route=route, products=products).result()
        distinct.add((sums.s0.tobytes(), sums.r_products.tobytes(), sums.q_totals.tobytes()))
    assert len(distinct) == 1


@pytest.mark.parametrize("route", ROUTES)
def test_the_data_are_read_once(emulated, route):
    # The caller may reuse the memory once the pass is enqueued, before the result is ready.
    xs = with_far_rows(13, 130, 40, 2, 1e4)
    kept = [x.copy() for x in xs]
    pending = far_pass(xs, route=route, products="float64")
    for x in xs:
        x[:] = np.nan
    assert worst_error_of(both(pending.result()), kept) <= 1e-12


def test_a_pass_without_far_examples_after_one_with_them(emulated, rng):
    for products in TOLERANCE:
        far = with_far_rows(14, 130, 40, 3, 1e4)
        plain = related(rng, 130, (40, 40))
        for xs in (plain, far, plain):
            check(xs, route="F", products=products)
            check(xs, route="G", products=products)


@pytest.mark.parametrize("route", ROUTES)
def test_in_blocks_of_representations(emulated, monkeypatch, route):
    xs = with_far_rows(15, 1000, 60, 2, 1e4, m=5)
    runtime = cuda_runtime()
    plan = far_pass(xs, route=route, products="float64", tile=64).plan
    two = runtime.compiled.bytes_needed(plan.n_examples, plan.n_features[:2], plan.settings).total
    runtime.session(0).close()
    monkeypatch.setenv("FASTCKA_EMULATION_MEMORY", str(two + (1 << 20)))
    pending = far_pass(xs, route=route, products="float64", tile=64)
    assert worst_error_of(both(pending.result()), xs) <= 1e-12
    assert "blocks of representations" in pending.plan.reason
    assert "; 2 of 1000 examples are far from all others" in pending.plan.reason


def test_the_plan_reports_far_examples(emulated, rng):
    xs = with_far_rows(16, 400, 20, 3, 1e4)
    words = "3 of 400 examples are far from all others"
    pending = far_pass(xs, route="G", products="float32")
    pending.result()
    assert pending.plan.reason.endswith(words)
    pending = far_pass(xs, route="F", products="float32")
    pending.result()
    assert pending.plan.reason.endswith(words + ": their products are float64, in a second round")
    explanation = fastcka.compare(xs, device="cuda").provenance["plan"]
    assert words in explanation
    plain = fastcka.compare(related(rng, 400, (20, 20)), device="cuda").provenance["plan"]
    assert "far from" not in plain


@pytest.mark.parametrize("period", [50, 128])
def test_far_examples_at_regular_places(emulated, period):
    # The first token of each text of a fixed length: no regular sample may consist of them.
    n = 12 * period
    rng = np.random.default_rng(period)
    x = rng.standard_normal((n, 3))
    x[::period] += 1e5
    y = x @ rng.standard_normal((3, 3)) + rng.standard_normal((n, 3))
    xs = [x.astype(np.float32), y.astype(np.float32)]
    pending = far_pass(xs, route="G", products="float32", tile=256)
    assert worst_error_of(both(pending.result()), xs) <= 2e-6
    assert pending.far == tuple(range(0, n, period))
