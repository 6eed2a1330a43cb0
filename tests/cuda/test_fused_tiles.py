"""The kernels that multiply blocks of fp16 values and go on with the sums in registers."""

from __future__ import annotations

import numpy as np
import pytest

import oracle
from cuda.forced_pass import submitted
from fastcka.core.estimators import estimate
from samples import related, with_far_rows

#: Half of what the precisions "high" and "fast" promise.
LIMITS = {"float16x3": 5e-7, "float16": 1e-4}


def cka(xs, estimator="biased", **forced):
    return estimate(submitted(xs, tiles="fused", **forced).result(), estimator).cka


def largest_error(xs, **forced):
    return np.abs(cka(xs, **forced) - oracle.cka_matrix(xs, "biased")).max()


@pytest.mark.parametrize("products", LIMITS)
@pytest.mark.parametrize(
    ("route", "n", "widths", "sizes"),
    [
        ("G", 40, (5, 33), {"tile": 64}),  # one block, mostly beyond the tile
        ("G", 150, (16, 16, 70), {"tile": 160}),  # 2 x 2 blocks; equal widths go in one launch
        ("G", 300, (40,), {"tile": 144, "rank_chunk": 1024}),  # tiles off the diagonal, padding
        ("F", 70, (5, 33, 64), {"tile": 96, "chunk": 64}),  # a last chunk of another length
        ("F", 48, (200, 90), {"tile": 192, "chunk": 32}),  # several bands and blocks
    ],
)
def test_the_values_are_those_of_the_definition(emulated, rng, route, n, widths, sizes, products):
    xs = related(rng, n, widths)
    assert largest_error(xs, route=route, products=products, **sizes) < LIMITS[products]


@pytest.mark.parametrize(("route", "sizes"), [("G", {"tile": 64}), ("F", {"chunk": 32})])
def test_the_order_of_threads_does_not_matter(emulated, rng, order, route, sizes):
    xs = related(rng, 60, (20, 40))
    assert largest_error(xs, route=route, products="float16x3", **sizes) < LIMITS["float16x3"]


@pytest.mark.parametrize("route", ["G", "F"])
def test_far_examples(emulated, route):
    xs = with_far_rows(3, 200, 24, 2, 1e4)
    assert largest_error(xs, route=route, products="float16x3", tile=96) < 1e-6
    unbiased = cka(xs, "unbiased", route=route, products="float16x3", tile=96)
    np.testing.assert_allclose(unbiased, oracle.cka_matrix(xs, "unbiased"), atol=1e-6)


def test_long_sums_are_added_in_rounded_float32(emulated, rng):
    """Truncated to the end, they make the self-HSIC too small."""
    xs = related(rng, 1024, (32, 32))
    exact = np.array([oracle.hsic_biased(x, x) for x in xs])
    errors = []
    for tiles in ("cuBLAS", "fused"):
        forced = {"route": "F", "products": "float16x3", "chunk": 1024, "tiles": tiles}
        hsic = estimate(submitted(xs, **forced).result(), "biased").hsic.diagonal()
        errors.append(np.abs(hsic / exact - 1).max())
    assert 5 * errors[1] < errors[0]


def test_only_fp16_products_can_be_fused(emulated, rng):
    xs = related(rng, 60, (20, 40))
    with pytest.raises(ValueError, match="fused tiles are of float16 or float16x3 products"):
        submitted(xs, tiles="fused", products="float32")
    with pytest.raises(ValueError, match="tiles must be cuBLAS or fused, got both"):
        submitted(xs, tiles="both", products="float16")
