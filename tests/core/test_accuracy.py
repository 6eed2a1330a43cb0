"""300 random cases in float32 against float64, of the kinds on which CKA code goes wrong."""

from __future__ import annotations

import numpy as np
import pytest

import fastcka
import oracle

KINDS = ("plain", "scaled", "rank one", "relu", "outlier feature")


def case(seed):
    rng = np.random.default_rng([7, seed])
    kind = KINDS[seed % len(KINDS)]
    n = int(np.exp(rng.uniform(np.log(4), np.log(4097))))
    offset = (0.0, 10.0, 1000.0)[seed // len(KINDS) % 3]
    shared = rng.standard_normal((n, 3))
    xs = []
    for _ in range(2):
        d = int(np.exp(rng.uniform(0, np.log(4097))))
        d = min(d, max(1, 8_000_000 // n))
        x = shared @ rng.standard_normal((3, d)) + rng.uniform(0.1, 3) * rng.standard_normal((n, d))
        if kind == "rank one":
            x = np.outer(shared[:, 0] + 0.1 * rng.standard_normal(n), rng.standard_normal(d))
        elif kind == "relu":
            x = np.maximum(x, 0)
        elif kind == "outlier feature":
            x[:, 0] *= 1000
        x = x + offset * x.std()
        if kind == "scaled":
            x = x * 10.0 ** rng.uniform(-6, 6)
        xs.append(x.astype(np.float32))
    return kind, offset, xs


def worst_error(xs, device):
    worst = 0.0
    for estimator in ("biased", "unbiased"):
        expected = oracle.cka_matrix(xs, estimator)[0, 1]
        # A self-HSIC near zero (n of 4 or 5) makes the ratio, not the sums, ill-conditioned.
        if not abs(expected) < 1.5:
            continue
        worst = max(worst, abs(fastcka.cka(*xs, estimator=estimator, device=device) - expected))
    return worst


def test_300_random_cases(device, capsys):
    errors = {}
    for seed in range(300):
        kind, offset, xs = case(seed)
        errors[seed, kind, offset, xs[0].shape] = worst_error(xs, device)
    near = {key: error for key, error in errors.items() if key[2] <= 10}
    with capsys.disabled():
        for title, group in (("all", errors), ("mean <= 10 sd", near)):
            key = max(group, key=group.get)
            print(
                f"\n  worst CKA error, {title}, {len(group)} cases: {group[key]:.2e} at {key}",
                end="",
            )
    # On a GPU, sums of thousands of terms stay in float32, in cuBLAS.
    assert max(errors.values()) <= (1e-6 if device == "cpu" else 5e-6)
    assert max(near.values()) <= (2e-7 if device == "cpu" else 2e-6)


@pytest.mark.parametrize("shape", [(100, 10), (1000, 300), (200, 2000)])
def test_offset_of_ten_thousand_standard_deviations(device, shape):
    rng = np.random.default_rng(3)
    shared = rng.standard_normal((shape[0], 4))
    xs = [
        (
            shared @ rng.standard_normal((4, shape[1])) + rng.standard_normal(shape) + 1e4 * 2.2
        ).astype(np.float32)
        for _ in range(2)
    ]
    assert worst_error(xs, device) <= (1e-6 if device == "cpu" else 5e-6)


@pytest.mark.parametrize("exponent", [-300, -60, 60, 300])
def test_float64_of_any_scale(device, exponent):
    # Squares of float32, and of float64, would overflow or vanish.
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((50, 6)), rng.standard_normal((50, 9))
    expected = oracle.cka(x, y, "unbiased")
    scaled = x * 2.0**exponent, y * 2.0**-exponent
    assert fastcka.cka(*scaled, device=device) == pytest.approx(expected, abs=2e-7)


def test_float64_far_from_the_origin(device):
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((80, 5)), rng.standard_normal((80, 5))
    x = x.round(6) + 1e9  # 1e9 + x is exact to 1e-7
    expected = oracle.cka(x, y, "unbiased")
    assert fastcka.cka(x, y, device=device) == pytest.approx(expected, abs=2e-7)
