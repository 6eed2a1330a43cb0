"""Random cases in float32 against float64, of kinds that CKA code often computes wrongly.

``pytest tests/core/test_accuracy.py --cases 1000`` runs more of them than the default of 300, and
FASTCKA_IMPLEMENTATION chooses the inner loops.
"""

from __future__ import annotations

import numpy as np
import pytest

import fastcka
import oracle
from checks import case, worst_error
from fastcka.core.backend import resolve_implementation


def test_random_cases(device, request, capsys):
    errors = {}
    for seed in range(request.config.getoption("--cases")):
        kind, offset, xs = case(seed)
        errors[seed, kind, offset, xs[0].shape] = worst_error(xs, device)
    near = {key: error for key, error in errors.items() if key[2] <= 10}
    classes = {"all": errors, "mean <= 10 sd": near}
    for least, most in ((4, 64), (65, 512), (513, 4096)):
        for wide in (False, True):
            classes[f"{least} <= n <= {most}, d {'>' if wide else '<='} n"] = {
                key: error
                for key, error in errors.items()
                if least <= key[3][0] <= most and (key[3][1] > key[3][0]) == wide
            }
    with capsys.disabled():
        print(f"\n  worst CKA errors, {resolve_implementation().name}")
        for title, group in classes.items():
            key = max(group, key=group.get)
            print(f"  {title}, {len(group)} cases: {group[key]:.1e} at {key}")
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
def test_float64_data_of_any_scale(device, exponent):
    # Squares of float32, and of float64, would overflow or vanish.
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((50, 6)), rng.standard_normal((50, 9))
    expected = oracle.cka(x, y, "unbiased")
    scaled = x * 2.0**exponent, y * 2.0**-exponent
    assert fastcka.cka(*scaled, device=device) == pytest.approx(expected, abs=2e-7)


def test_float64_data_far_from_the_origin(device):
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((80, 5)), rng.standard_normal((80, 5))
    x = x.round(6) + 1e9  # 1e9 + x is exact to 1e-7
    expected = oracle.cka(x, y, "unbiased")
    assert fastcka.cka(x, y, device=device) == pytest.approx(expected, abs=2e-7)


def test_fast_in_bfloat16(implementation, fast_products, capsys):
    if resolve_implementation().fast is None:
        pytest.skip(f"{implementation} has nothing faster than float32")
    errors = {}
    for seed in range(300):
        kind, offset, xs = case(seed)
        n, d = len(xs[0]), sum(x.shape[1] for x in xs)
        if 64 < n <= 1000 and min(n * n * d, n * d * d) > 2e7:  # else float64
            error = worst_error(xs, "cpu", precision="fast")
            errors[seed, kind, offset, xs[0].shape] = error
    worst = max(errors, key=errors.get)
    with capsys.disabled():
        print(f"\n  worst CKA error, fast, {len(errors)} cases: {errors[worst]:.2e} at {worst}")
    assert errors[worst] <= 5e-4
    assert np.median(list(errors.values())) > 1e-7  # another arithmetic than that of "high"


@pytest.mark.parametrize(("n", "d"), [(128, 4096), (70, 20_000)])
def test_fast_of_wide_noise_is_defined(implementation, rng, n, d):
    # The unbiased self-HSIC is n / (n + d) of the biased one.
    xs = [rng.standard_normal((n, d)).astype(np.float32) for _ in range(2)]
    expected = oracle.cka_matrix(xs, "unbiased")[0, 1]
    assert fastcka.cka(*xs, precision="fast") == pytest.approx(expected, abs=5e-3)


@pytest.mark.parametrize("n", [65, 200])
def test_fast_of_equidistant_examples_is_undefined(implementation, rng, n):
    rotated = np.linalg.qr(rng.standard_normal((n, n)))[0]  # as one-hot rows, with many digits
    for x in (np.eye(n), rotated):
        result = fastcka.compare([x, rng.standard_normal((n, 2))], precision="fast")
        assert "equally far" in result.undefined[0]
