"""The reference against double loops, and the contestants of this repository against it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import oracle
from benchmarks import contestants, data, reference

SHAPES = {"few features": (3, 30, 5), "few examples": (3, 12, 40)}


def double_loop(x, y, estimator):
    """HSIC as sums over pairs of examples, up to a factor that cancels in CKA."""
    n = len(x)
    x, y = (z.astype(np.float64) for z in (x, y))
    k = [[float(x[a] @ x[b]) for b in range(n)] for a in range(n)]
    m = [[float(y[a] @ y[b]) for b in range(n)] for a in range(n)]
    every = [(a, b) for a, b in itertools.product(range(n), repeat=2)]
    if estimator == "unbiased":
        every = [(a, b) for a, b in every if a != b]
    both = sum(k[a][b] * m[a][b] for a, b in every)
    rows_k, rows_m = ([sum(z[a][b] for c, b in every if c == a) for a in range(n)] for z in (k, m))
    rows = sum(p * q for p, q in zip(rows_k, rows_m, strict=True))
    if estimator == "biased":
        return both - 2 / n * rows + sum(rows_k) * sum(rows_m) / n**2
    return both + sum(rows_k) * sum(rows_m) / ((n - 1) * (n - 2)) - 2 / (n - 2) * rows


@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_reference_is_the_double_loop(shape, estimator):
    xs = list(data.representations(*shape))
    cka, hsic = (f(xs, estimator) for f in (reference.cka_matrix, reference.hsic_matrix))
    for i, j in itertools.combinations_with_replacement(range(len(xs)), 2):
        selves = [double_loop(x, x, estimator) for x in (xs[i], xs[j])]
        both = double_loop(xs[i], xs[j], estimator)
        assert cka[i, j] == pytest.approx(both / np.sqrt(selves[0] * selves[1]), abs=1e-11)
        n = len(xs[0])
        factor = (n - 1) ** 2 if estimator == "biased" else n * (n - 3)
        assert hsic[i, j] == pytest.approx(both / factor, rel=1e-9)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_both_ways_of_the_reference_are_used(shape):
    by_grams, by_features = reference._costs(*shape)
    assert (by_features < by_grams) == (shape == SHAPES["few features"])


def test_large_workloads_are_checked_in_part():
    assert reference.checked_positions(21, 100, 10) == list(range(21))
    part = reference.checked_positions(63, 20000, 512)
    assert 2 < len(part) < 63
    assert part[:2] == [0, 1]
    assert part[-1] == 62


WRITTEN_HERE = [
    *(contestants.FASTCKA, contestants.FASTCKA_FAST, *contestants.BASELINES, *contestants.ON_GPU)
]


@pytest.mark.parametrize("contestant", WRITTEN_HERE, ids=lambda each: each.name)
def test_fastcka_and_the_baselines_compute_cka(contestant):
    arrays = list(data.representations(4, 300, 24))  # more than one tile of the triangle
    xs = arrays
    if contestant.takes == "torch":
        pytest.importorskip("torch")
        from benchmarks.by_torch import tensors

        xs = tensors(arrays)
    expected = oracle.cka_matrix(arrays, contestant.estimator)
    tolerance = min(contestant.tolerance, 1e-3)
    matrices = contestant.groups()([xs, xs[:2]])
    np.testing.assert_allclose(matrices[0], expected, atol=tolerance)
    np.testing.assert_allclose(matrices[1], expected[:2, :2], atol=tolerance)


def test_the_data_hurt():
    plain, moved = (list(draw(2, 200, 8)) for draw in (data.representations, data.offset))
    assert all(x.dtype == np.float32 for x in plain + moved)
    assert (moved[0].mean(axis=0) > 99 * moved[0].std(axis=0)).all()
    np.testing.assert_allclose(next(data.scaled(1, 200, 8, 1e6)), plain[0] * 1e6, rtol=1e-6)
    tails = np.abs(next(data.heavy_tailed(1, 2000, 8)))
    assert tails.max() > 20 * np.median(tails)


def test_the_transformers_differ():
    pytest.importorskip("torch")
    layers = data.transformer_layers(40, blocks=2, width=16, tokens=3)
    assert [x.shape for x in layers] == [(40, 16)] * 4
    cka = reference.cka_matrix(layers, "unbiased")
    np.testing.assert_allclose(np.diag(cka), 1)
    assert cka[np.triu_indices(4, 1)].max() < 0.999
