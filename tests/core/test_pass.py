"""The compiled pass against the definitions, over implementations, routes, tiles and precisions."""

from __future__ import annotations

import numpy as np
import pytest

from checks import check, cka_by
from fastcka.core import compare
from fastcka.core.backend import _core
from fastcka.errors import InputError
from samples import related, staged_copy


@pytest.mark.parametrize("route", ["G", "F"])
@pytest.mark.parametrize("tiles", [1, 2, 4])
@pytest.mark.parametrize("n", [4, 17, 65, 79, 97, 193, 400])
def test_agrees_with_definition(implementation, rng, route, tiles, n):
    check(related(rng, n, (1, 5, 16, 33, 130)), route=route, tiles=tiles, tolerance=1e-6)


@pytest.mark.parametrize("route", ["G", "F"])
def test_float64_precision(implementation, rng, route):
    xs = [x.astype(float) for x in related(rng, 150, (3, 20, 70))]
    check(xs, route=route, precision="float64", tolerance=1e-13)


@pytest.mark.parametrize("route", ["G", "F"])
@pytest.mark.parametrize("m", [1, 2, 3, 4, 5, 8, 11])
def test_any_number_of_representations(implementation, rng, route, m):
    check(related(rng, 100, range(3, 3 + m)), route=route)


@pytest.mark.parametrize("chunk", [16, 100, 256])
def test_chunks_of_the_features_route(implementation, rng, chunk):
    check(related(rng, 333, (4, 40)), route="F", chunk=chunk)


def test_more_depth_than_one_step(implementation, rng):
    check(related(rng, 70, (128, 129, 1500)), route="G")


@pytest.mark.parametrize("route", ["G", "F"])
@pytest.mark.parametrize(
    ("n", "widths"), [(80, (16, 32)), (79, (5, 17)), (300, (1, 100)), (20, (8, 30))]
)
def test_staged_in_place(implementation, rng, route, n, widths):
    xs = related(rng, n, widths)
    check([staged_copy(x) for x in xs], xs, route=route, chunk=64)


@pytest.mark.parametrize("route", ["G", "F"])
def test_staged_and_plain_give_the_same_bits(rng, route):
    xs = related(rng, 200, (24, 50))
    plain = cka_by(xs, route=route)
    in_place = cka_by([staged_copy(x) for x in xs], route=route)
    for estimator in plain:
        np.testing.assert_array_equal(plain[estimator], in_place[estimator])


def test_implementations_agree_with_each_other(rng, monkeypatch):
    xs = related(rng, 500, (40, 64, 200))
    matrices = {}
    for table in _core.implementations():
        monkeypatch.setenv("FASTCKA_IMPLEMENTATION", table["name"])
        matrices[table["name"]] = cka_by(xs, route="G")["unbiased"]
    for matrix in matrices.values():
        np.testing.assert_allclose(matrix, matrices["portable"], atol=1e-7, rtol=0)


def test_an_unknown_implementation_is_refused(rng, monkeypatch):
    monkeypatch.setenv("FASTCKA_IMPLEMENTATION", "abacus")
    with pytest.raises(
        InputError, match="FASTCKA_IMPLEMENTATION is 'abacus', and this processor has"
    ):
        cka_by(related(rng, 100, (3, 4)), route="G")


def test_staged_buffers_live_until_the_pass_has_ended(implementation, rng):
    # Large enough that freed memory would return to the system.
    xs = related(rng, 600, [64, 10, 1024, 512, 128] * 3)
    staged = [staged_copy(x) for x in xs]
    plain = compare(xs)
    np.testing.assert_array_equal(compare(staged).unbiased, plain.unbiased)
