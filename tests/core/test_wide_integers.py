"""Integers and extended floats beyond float64 are shifted exactly or refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import fastcka
import oracle
from fastcka.arrays import exact_floats
from fastcka.core.device_arrays import device_view
from fastcka.errors import InputError
from samples import OnlyDLPack

FAR = 1_700_000_000_000_000_000  # nanoseconds since 1970


@pytest.fixture
def small(rng):
    return rng.integers(0, 1000, (50, 4))


@pytest.fixture
def y(rng, small):
    return small @ rng.standard_normal((4, 3)) + 300 * rng.standard_normal((50, 3))


def shifted(small):
    unsigned = small.astype(np.uint64)
    return {
        "int64": small + FAR,
        "negative": small + (-(2**63)),
        "uint64": unsigned + np.uint64(2**63),
        "largest uint64": unsigned + np.uint64(2**64 - 1001),
        "big-endian": (small + FAR).astype(">i8"),
        "three axes": (small + FAR).reshape(50, 2, 2),
        "DLPack": OnlyDLPack(small + FAR),
        "torch": torch.from_numpy(small + FAR),
        "torch uint64": torch.from_numpy(unsigned + np.uint64(2**63)),
        "list": (small + FAR).tolist(),
        # NumPy converts these to float64: integers with floats, and int64 with uint64.
        "list with floats": [[v + FAR, w, *rest] for v, w, *rest in small.astype(object).tolist()],
        "list of both signs": [[v + 2**63, w - 500, *rest] for v, w, *rest in small.tolist()],
        "table with floats": pd.DataFrame(small + FAR).assign(**{"1": small[:, 1] * 1.0})[
            [0, "1", 2, 3]
        ],
        "table of int64 and uint64": pd.DataFrame(small + FAR).assign(
            last=unsigned[:, 3] + np.uint64(2**63)
        )[[0, 1, 2, "last"]],
        "nullable table": pd.DataFrame(small + FAR).astype("Int64"),
        "longdouble": small.astype(np.longdouble) + np.longdouble(2) ** 62,
    }


@pytest.mark.parametrize("kind", shifted(np.zeros((50, 4), np.int64)))
def test_a_common_offset_costs_no_digits(device, small, y, kind):
    for estimator in ("biased", "unbiased"):
        expected = oracle.cka(small, y, estimator)
        similarity = fastcka.cka(shifted(small)[kind], y, estimator=estimator, device=device)
        assert similarity == pytest.approx(expected, abs=2e-7)


def test_small_columns_keep_their_values():
    x = np.array([[FAR, -7, 2**53], [FAR + 3, 5, -(2**53)]])
    assert exact_floats(x, "x").tolist() == [[0, -7, 2**53], [3, 5, -(2**53)]]
    assert exact_floats(np.array([[2**53 + 1], [2**53 + 3]]), "x").tolist() == [[0], [2]]


@pytest.mark.parametrize(
    ("column", "dtype", "low", "high"),
    [
        ([0, FAR, FAR + 1, FAR + 2], "i8", 0, FAR + 2),
        ([-(2**63), 0, 1, 2**63 - 1], "i8", -(2**63), 2**63 - 1),
        ([0, 1, 2, 2**53 + 1], "i8", 0, 2**53 + 1),
        ([0, 1, 2, 2**64 - 1], "u8", 0, 2**64 - 1),
    ],
)
def test_a_span_beyond_float64_is_refused(device, column, dtype, low, high):
    x = np.zeros((4, 3), dtype)
    x[:, 2] = column
    message = rf"\(x\) contains integers from {low} to {high} in column 2: float64 cannot"
    for array in (x, torch.from_numpy(x), pd.DataFrame(x).assign(more=0.5)):
        with pytest.raises(InputError, match=message):
            fastcka.cka(array, np.eye(4), device=device)


def test_a_wide_span_of_exact_values_is_kept():
    column = np.array([0, 2**60, 2**60 + 2**10, 2**62])[:, None]
    assert exact_floats(column, "x").tolist() == column.astype(float).tolist()


def test_too_large_extended_floats_are_refused():
    x = np.full((4, 2), np.longdouble(10) ** 400)
    with pytest.raises(InputError, match="values that are too large for float64"):
        fastcka.cka(x, np.eye(4))


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_integers_on_a_device(emulated, small, y, dtype):
    expected = oracle.cka(small, y, "unbiased")
    x = emulated.cupy.asarray(small.astype(dtype) + dtype(2**63 - 2000))
    assert fastcka.cka(x, y, device="cuda") == pytest.approx(expected, abs=2e-7)
    wide = np.array([[0], [1], [2], [2**63 - 1]], dtype)
    with pytest.raises(InputError, match=r"column 0: float64 cannot represent"):
        device_view(emulated.cupy.asarray(wide), "x")
