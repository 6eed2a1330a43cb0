"""Products on AMX tiles, which are emulated in software."""

from __future__ import annotations

import numpy as np
import pytest

import fastcka
import oracle
from checks import check, cka_by
from cuda_emulation import load_module
from fastcka.core import backend
from fastcka.core.base_plan import MIB
from samples import related, staged_copy
from tiles_emulation import build_tiles, runs_here

PRODUCTS = ["bfloat16x3", "bfloat16"]

pytestmark = pytest.mark.skipif(not runs_here(), reason="this processor has no AVX-512")


@pytest.fixture(scope="session")
def tiles_module(emulation_folder):
    return load_module(build_tiles(emulation_folder), "emulated._core")


@pytest.fixture
def tiles(tiles_module, fast_products, monkeypatch):
    """Run fastcka on the emulated tiles, also in small passes."""
    monkeypatch.setattr(backend, "_core", tiles_module)
    monkeypatch.setattr(backend, "_implementations", backend._implementations.__wrapped__)
    monkeypatch.delenv(backend.IMPLEMENTATION_VARIABLE, raising=False)


def exact(rng, n, widths):
    """Return related data with columns of mean 0 and values that are exact in bfloat16."""
    shared = rng.integers(-4, 5, (n // 2, 1))
    xs = []
    for d in widths:
        half = shared * rng.integers(0, 2, d) + rng.integers(-4, 5, (n // 2, d))
        xs.append(np.vstack([half, -half, np.zeros((n % 2, d))]).astype(np.float32))
    return xs


def test_both_precisions_use_tiles(tiles, rng):
    xs = related(rng, 1000, (30, 400))
    for precision, products in (("high", "bfloat16x3"), ("fast", "bfloat16")):
        ran = fastcka.compare(xs, precision=precision).provenance
        assert (ran["implementation"], ran["products"]) == ("amx", products)


def test_wide_data_take_as_little_memory_as_without_tiles(tiles):
    plan = fastcka.core.plan_pass(1000, [4096] * 100, threads=2)
    assert plan.products == "bfloat16x3"
    assert plan.bytes_centered < 320 * MIB


@pytest.mark.parametrize("products", PRODUCTS)
@pytest.mark.parametrize("route", ["G", "F"])
@pytest.mark.parametrize("tiles_of_plan", [1, 2, 6])
@pytest.mark.parametrize("n", [66, 79, 97, 193, 400])
def test_agrees_with_definition(tiles, rng, products, route, tiles_of_plan, n):
    # Depths below a block of 32 values, of whole blocks, and between them.
    xs = exact(rng, n, (1, 5, 16, 31, 32, 33, 64, 130))
    check(xs, route=route, tiles=tiles_of_plan, products=products)


@pytest.mark.parametrize("route", ["G", "F"])
@pytest.mark.parametrize("n", [66, 97, 400])
def test_all_digits_of_high(tiles, rng, route, n):
    check(related(rng, n, (1, 5, 17, 33, 64, 130)), route=route, products="bfloat16x3")


def few_values(rng, n, d):
    """Return data whose rounding errors do not average out: with two parts, errors reach 1e-6."""
    shared = rng.standard_normal((n, 4))
    kinds = {name: [] for name in ("binary", "one-hot", "repeated", "heavy tails", "one example")}
    groups = rng.integers(0, 20, n)
    for _ in range(2):
        x = shared @ rng.standard_normal((4, d)) + 2 * rng.standard_normal((n, d))
        kinds["binary"].append(x > rng.standard_normal(d))
        same = rng.random(n) < 0.5
        kinds["one-hot"].append(np.eye(d)[np.where(same, groups, rng.integers(0, 20, n))])
        kinds["repeated"].append(x[groups])
        kinds["heavy tails"].append(x * np.abs(shared[:, :1]) ** -1.5)
        kinds["one example"].append(np.where(np.arange(n)[:, None] == 7, 7, 1) * x)
    return {name: [x.astype(np.float32) for x in xs] for name, xs in kinds.items()}


@pytest.mark.parametrize("kind", ["binary", "one-hot", "repeated", "heavy tails", "one example"])
@pytest.mark.parametrize(("route", "n", "d"), [("G", 300, 100), ("G", 70, 900), ("F", 1000, 64)])
def test_high_of_few_different_values(tiles, rng, kind, route, n, d):
    xs = few_values(rng, n, d)[kind]
    got = cka_by(xs, route=route, products="bfloat16x3")
    for estimator, matrix in got.items():
        grams = oracle.cka_matrix_about_median if kind == "heavy tails" else oracle.cka_matrix
        assert abs(matrix - grams(xs, estimator)).max() <= 2e-7


@pytest.mark.parametrize("products", PRODUCTS)
@pytest.mark.parametrize("route", ["G", "F"])
@pytest.mark.parametrize("widths", [(320, 321), (47, 48, 49), (1500,)])
def test_more_depth_than_one_product(tiles, rng, products, route, widths):
    check(exact(rng, 90, widths), route=route, products=products)


@pytest.mark.parametrize("products", PRODUCTS)
@pytest.mark.parametrize("chunk", [16, 100, 256])
def test_chunks_of_the_features_route(tiles, rng, products, chunk):
    check(exact(rng, 333, (4, 40)), route="F", chunk=chunk, products=products)


@pytest.mark.parametrize("products", PRODUCTS)
@pytest.mark.parametrize("route", ["G", "F"])
def test_far_examples(tiles, rng, products, route):
    xs = exact(rng, 200, (20, 33))
    for x in xs:
        x[[7, 107]] *= 512  # still exact, and row 107 is the negative of row 7
    check(xs, route=route, products=products, tolerance=1e-6)


@pytest.mark.parametrize("precision", ["high", "fast"])
@pytest.mark.parametrize("n", [400, 479])
def test_staged_gives_the_same_bits(tiles, rng, precision, n):
    xs = [x.astype(np.float32) for x in related(rng, n, (1, 17, 132, 200))]
    expected = fastcka.compare(xs, precision=precision)
    assert expected.provenance["products"] in PRODUCTS
    staged = [staged_copy(x) for x in xs]
    np.testing.assert_array_equal(fastcka.compare(staged, precision=precision).cka, expected.cka)


@pytest.mark.parametrize("products", PRODUCTS)
@pytest.mark.parametrize("route", ["G", "F"])
def test_same_bits_for_any_threads(tiles, rng, products, route):
    xs = related(rng, 250, (9, 70, 33))
    one = cka_by(xs, route=route, threads=1, products=products)
    for threads in (2, 3, 8):
        many = cka_by(xs, route=route, threads=threads, products=products)
        for estimator, matrix in many.items():
            np.testing.assert_array_equal(matrix, one[estimator])


@pytest.mark.parametrize("products", PRODUCTS)
@pytest.mark.parametrize("route", ["G", "F"])
def test_exactly_symmetric(tiles, rng, products, route):
    x, y = related(rng, 300, (40, 70))
    forward = cka_by([x, y, x.copy()], route=route, products=products)
    backward = cka_by([y, x], route=route, products=products)
    for estimator, matrix in forward.items():
        assert matrix[0, 1] == matrix[1, 2] == backward[estimator][0, 1]
        assert matrix[0, 2] == 1


def test_fast_is_one_product_of_rounded_values(tiles, rng):
    xs = [x.astype(np.float32) for x in related(rng, 500, (140, 160))]
    similarity = fastcka.compare(xs, precision="fast", estimator="biased").cka[0, 1]
    expected = oracle.cka_matrix(xs, "biased")[0, 1]
    assert 1e-8 < abs(similarity - expected) < 1e-4


@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
def test_permuted_examples(tiles, rng, estimator):
    xs = related(rng, 1000, (30, 400, 17))
    test = fastcka.permutation_test(xs, n_permutations=3, estimator=estimator)
    assert test.provenance["products"] == "bfloat16x3"
    generator = np.random.Generator(np.random.PCG64(0))
    orders = [generator.permutation(1000) for _ in range(3)]
    np.testing.assert_allclose(test.null, oracle.permuted_cka(xs, orders, estimator), atol=1e-6)
