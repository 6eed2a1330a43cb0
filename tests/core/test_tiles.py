"""The AMX implementation, on tiles in software, so that it is tested where there are none."""

from __future__ import annotations

import numpy as np
import pytest

import fastcka
import oracle
from checks import case, check, cka_by, worst_error
from cuda_emulation import load_module
from fastcka.core import StagedRepresentation, backend
from samples import related
from tiles_emulation import build_tiles, runs_here

pytestmark = pytest.mark.skipif(not runs_here(), reason="this processor has no AVX-512")


@pytest.fixture(scope="session")
def tiles_module(emulation_folder):
    return load_module(build_tiles(emulation_folder), "emulated._core")


@pytest.fixture
def tiles(tiles_module, monkeypatch):
    """fastcka on the emulated tiles."""
    monkeypatch.setattr(backend, "_core", tiles_module)
    monkeypatch.setattr(backend, "_implementations", backend._implementations.__wrapped__)
    monkeypatch.delenv(backend.IMPLEMENTATION_VARIABLE, raising=False)


def test_is_what_computes(tiles, rng):
    told = fastcka.compare(related(rng, 1000, (3, 40))).provenance
    assert (told["implementation"], told["products"]) == ("amx", "bfloat16x4")
    told = fastcka.compare(related(rng, 100, (300, 400))).provenance
    assert (told["implementation"], told["products"]) == ("amx", "bfloat16x3")
    told = fastcka.compare(related(rng, 100, (3, 40)), precision="fast").provenance
    assert (told["implementation"], told["products"]) == ("amx", "bfloat16")


@pytest.mark.parametrize("route", ["G", "F"])
@pytest.mark.parametrize("tiles_of_plan", [1, 2])
@pytest.mark.parametrize("n", [65, 79, 97, 193, 400])
def test_agrees_with_definition(tiles, rng, route, tiles_of_plan, n):
    # Depths of less than a block of 32 values, of whole blocks, and odd ones.
    xs = related(rng, n, (1, 5, 16, 31, 32, 33, 64, 130))
    check(xs, route=route, tiles=tiles_of_plan, tolerance=1e-6)


@pytest.mark.parametrize("route", ["G", "F"])
@pytest.mark.parametrize("widths", [(320, 321), (47, 48, 49), (1500,)])
def test_more_depth_than_one_product(tiles, rng, route, widths):
    xs = related(rng, 90, widths)
    check(xs, route=route)


@pytest.mark.parametrize("chunk", [16, 100, 256])
def test_chunks_of_the_features_route(tiles, rng, chunk):
    check(related(rng, 333, (4, 40)), route="F", chunk=chunk, tolerance=1e-6)


@pytest.mark.parametrize("precision", ["high", "fast"])
@pytest.mark.parametrize("n", [79, 80, 300])
def test_staged_gives_the_same_bits(tiles, rng, precision, n):
    xs = [x.astype(np.float32) for x in related(rng, n, (1, 17, 32, 100))]
    expected = fastcka.compare(xs, precision=precision)
    staged = []
    for x in xs:
        staged.append(StagedRepresentation.empty(*x.shape))
        staged[-1].array[...] = x
    np.testing.assert_array_equal(fastcka.compare(staged, precision=precision).cka, expected.cka)


@pytest.mark.parametrize("route", ["G", "F"])
@pytest.mark.parametrize("precision", ["high", "fast"])
def test_same_bits_for_any_threads(tiles, rng, route, precision):
    xs = related(rng, 250, (9, 70, 33))
    one = cka_by(xs, route=route, threads=1, precision=precision)
    for threads in (2, 3, 8):
        many = cka_by(xs, route=route, threads=threads, precision=precision)
        for estimator, matrix in many.items():
            np.testing.assert_array_equal(matrix, one[estimator])


def test_random_cases(tiles, capsys):
    errors = {}
    for seed in range(300):
        kind, offset, xs = case(seed)
        n, d = len(xs[0]), sum(x.shape[1] for x in xs)
        if n > 64 and min(n * n * d, n * d * d) < 1e8:  # the emulation is slow
            errors[seed, kind, offset, n, d] = worst_error(xs, "cpu")
    worst = max(errors, key=errors.get)
    with capsys.disabled():
        print(f"\n  worst CKA error on tiles, {len(errors)} cases: {errors[worst]:.2e} at {worst}")
    assert len(errors) > 60
    assert errors[worst] <= 1e-6


def test_fast_is_one_product_of_rounded_values(tiles, rng):
    xs = [x.astype(np.float32) for x in related(rng, 200, (40, 60))]
    found = fastcka.compare(xs, precision="fast", estimator="biased").cka[0, 1]
    exact = oracle.cka_matrix(xs, "biased")[0, 1]
    assert 1e-8 < abs(found - exact) < 1e-4
