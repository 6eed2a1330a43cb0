"""The pass on a device against the definitions, over routes, products, tiles, dtypes and layouts.

The emulated device runs the same kernels, compiled for the processor.
"""

from __future__ import annotations

import numpy as np
import pytest

import oracle
from cuda.forced_pass import submitted
from fastcka.core.estimators import estimate
from fastcka.errors import InputError
from samples import related

ROUTES = ["G", "F"]
#: Errors of CKA on the data of `related`, by products.
TOLERANCE = {"float32": 2e-6, "float16x3": 2e-6, "float16": 3e-4, "float64": 1e-13}


def cuda_sums(representations, **forced):
    return submitted(representations, **forced).result()


def check(representations, exact=None, *, products, **forced):
    sums = cuda_sums(representations, products=products, **forced)
    for estimator in ("biased", "unbiased"):
        got = estimate(sums, estimator).cka
        expected = oracle.cka_matrix(exact or representations, estimator)
        np.testing.assert_allclose(got, expected, atol=TOLERANCE[products], rtol=0)
        np.testing.assert_array_equal(got, got.T)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("products", TOLERANCE)
@pytest.mark.parametrize("n", [17, 97, 300])
def test_agrees_with_definition(emulated, rng, route, products, n):
    check(related(rng, n, (16, 33, 130)), route=route, products=products)


@pytest.mark.parametrize("products", TOLERANCE)
@pytest.mark.parametrize(
    ("route", "tile", "chunk", "rank_chunk"),
    [
        *(("G", 16, 16, 16), ("G", 48, 16, 512), ("G", 112, 16, 1024)),
        *(("F", 32, 16, 16), ("F", 96, 32, 16), ("F", 160, 112, 16)),
    ],
)
def test_tiles_and_chunks(emulated, rng, products, route, tile, chunk, rank_chunk):
    # 100 examples and 1 + 2 + 4 blocks of features: the last tiles, panels and chunks are partial.
    check(
        related(rng, 100, (20, 33, 100)),
        route=route,
        products=products,
        tile=tile,
        chunk=chunk,
        rank_chunk=rank_chunk,
    )


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("m", [1, 2, 5, 40])
def test_any_number_of_representations(emulated, rng, route, m):
    # 40 representations need more than one batch of kernel parameters.
    check(related(rng, 70, [3 + i % 5 for i in range(m)]), route=route, products="float64")


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_layouts_and_dtypes(emulated, rng, route, dtype):
    xs = [x.astype(dtype) for x in related(rng, 90, (24, 17, 40))]
    exact = [x.astype(np.float64) for x in xs]
    wide = np.repeat(np.repeat(xs[1], 2, axis=0), 3, axis=1)[::2, ::3]
    check(
        [np.asfortranarray(xs[0]), wide, xs[2][::-1][::-1]], exact, route=route, products="float32"
    )


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("products", ["float32", "float16x3"])
def test_far_from_the_origin(emulated, rng, route, products):
    # 1e4 standard deviations: means and differences in float64 keep enough digits.
    xs = [x + np.float32(1e4 * x.std()) for x in related(rng, 150, (30, 50))]
    check(xs, route=route, products=products)


@pytest.mark.parametrize("products", TOLERANCE)
def test_scales_of_features_far_apart(emulated, rng, products):
    # The largest feature sets the scale of a representation; fp16 keeps the others above 2^-24.
    xs = related(rng, 200, (40, 60))
    for x in xs:
        x[:, ::7] *= 2.0**10
    tolerance = TOLERANCE[products] * (10 if products == "float16" else 1)
    sums = cuda_sums(xs, route="G", products=products)
    np.testing.assert_allclose(
        estimate(sums, "biased").cka, oracle.cka_matrix(xs, "biased"), atol=tolerance, rtol=0
    )


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("products", TOLERANCE)
@pytest.mark.parametrize("n", [65, 300, 1000])
def test_equidistant_examples_have_no_unbiased_cka(emulated, route, products, n):
    sums = cuda_sums([np.eye(n) * 3 + 1], route=route, products=products)
    assert list(estimate(sums, "unbiased").undefined) == [0]
    assert not estimate(sums, "biased").undefined


@pytest.mark.parametrize("products", TOLERANCE)
def test_nearly_equidistant_examples_still_have_one(emulated, rng, products):
    # Its unbiased self-HSIC is 2% of the biased one. Tensor cores truncate, as the emulated cuBLAS
    # does, which is why the planner takes float32 for such a shape.
    xs = list(rng.standard_normal((2, 100, 5000)).astype(np.float32))
    result = estimate(cuda_sums(xs, route="G", products=products), "unbiased")
    assert not result.undefined
    expected = oracle.cka_matrix(xs, "unbiased")
    tolerance = 1e-4 if products.startswith("float16") else TOLERANCE[products]
    np.testing.assert_allclose(result.cka, expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize("route", ROUTES)
def test_hsic_in_the_units_of_the_data(emulated, rng, route):
    x, y = (z.astype(np.float64) for z in related(rng, 60, (20, 30)))
    sums = cuda_sums([x * 2.0**40, y * 2.0**-70], route=route, products="float64")
    for estimator, hsic in (("biased", oracle.hsic_biased), ("unbiased", oracle.hsic_unbiased)):
        expected = [[hsic(x, x) * 2.0**160, hsic(x, y) * 2.0**-60]]
        got = estimate(sums, estimator).hsic
        np.testing.assert_allclose(got[:1], expected, rtol=1e-12)
        assert got[1, 1] == pytest.approx(hsic(y, y) * 2.0**-280, rel=1e-12)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("products", TOLERANCE)
def test_the_same_bits_every_time(emulated, rng, monkeypatch, route, products):
    xs = related(rng, 130, (20, 40, 17))
    distinct = set()
    # Several orders of threads and blocks; then a CUDA graph instead of single calls.
    for order in ("forward", "reverse", "shuffle", "forward"):
        monkeypatch.setenv("FASTCKA_EMULATION_ORDER", order)
        sums = cuda_sums(xs, route=route, products=products, tile=64, chunk=64, rank_chunk=512)
        distinct.add((sums.s0.tobytes(), sums.norms.tobytes(), sums.r_totals.tobytes()))
    assert len(distinct) == 1


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_values_are_located(emulated, rng, route, value):
    xs = related(rng, 1100, (40, 17))
    xs[1][1050, 16] = value
    xs[1][1070, 3] = value
    with pytest.raises(InputError, match=r"^x1 holds 2 .*, the first at example 1050, feature 16$"):
        cuda_sums(xs, route=route, products="float16x3")
    xs[0][0, 0] = value
    with pytest.raises(
        InputError, match=r"^x0 holds 1 .* value, .* example 0, feature 0; x1 holds"
    ):
        cuda_sums(xs, route=route, products="float16x3")


def test_values_too_large_to_sum(emulated):
    huge = np.array([[1.5e308], [1.2e308], [1.7e308], [0]])
    with pytest.raises(InputError, match=r"^x1 holds values too large to sum in float64$"):
        cuda_sums([np.eye(4), huge], products="float64")
