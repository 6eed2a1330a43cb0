"""Every kind of array gives the same CKA as its float64 copy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import fastcka
import oracle
from fastcka.core.arrays import as_view
from fastcka.errors import DegenerateWarning, DeviceError, InputError
from samples import OnlyDLPack


@pytest.fixture
def x(rng):
    return rng.standard_normal((100, 12)).astype(np.float32) + 3


@pytest.fixture
def y(rng, x):
    return (x[:, :5] @ rng.standard_normal((5, 8)) + rng.standard_normal((100, 8))).astype("f")


def agrees(a, b, exact_a, exact_b, device):
    for estimator in ("biased", "unbiased"):
        expected = oracle.cka(exact_a, exact_b, estimator)
        similarity = fastcka.cka(a, b, estimator=estimator, device=device)
        assert similarity == pytest.approx(expected, abs=2e-7)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", ">f8", ">f2", "g"])
def test_float_dtypes(implementation, device, x, y, dtype):
    a = x.astype(dtype)
    agrees(a, y, a.astype(np.float64), y, device)


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", ">i4"])
def test_integers(device, rng, y, dtype):
    a = rng.integers(0, 2, (100, 6)).astype(dtype)
    if dtype != "?":
        a *= 100
    agrees(a, y, a.astype(np.float64), y, device)


def layouts(x):
    wide = np.repeat(np.repeat(x, 2, axis=0), 3, axis=1)
    odd = np.empty(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    odd[...] = x
    frozen = x.copy()
    frozen.flags.writeable = False
    return {
        "fortran": np.asfortranarray(x),
        "every other": wide[::2, ::3],
        "reversed": x[::-1, ::-1].copy()[::-1, ::-1],
        "unaligned": odd,
        "read-only": frozen,
        "three axes": x.reshape(len(x), 3, -1),
        "three axes, transposed": np.ascontiguousarray(
            x.reshape(len(x), 3, -1).transpose(2, 0, 1)
        ).transpose(1, 2, 0),
        "part of rows": np.hstack([x, x])[:, : x.shape[1]],
    }


@pytest.mark.parametrize("layout", layouts(np.zeros((4, 12), "f")))
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_layouts(implementation, device, x, y, layout, dtype):
    a = x.astype(dtype)
    agrees(layouts(a)[layout], y, a.astype(np.float64), y, device)


def test_broadcast_rows_have_no_variance(device, y):
    flat = np.broadcast_to(np.arange(4.0), (100, 4))
    with pytest.warns(DegenerateWarning):
        assert np.isnan(fastcka.cka(flat, y, device=device))


def test_input_is_not_written_to(device, x, y):
    before = x.copy(), y.copy()
    fastcka.cka_matrix([x, y], device=device)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(y, before[1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_torch(implementation, device, x, y, dtype):
    a = torch.from_numpy(x).to(dtype)
    agrees(a, torch.from_numpy(y), a.double().numpy(), y, device)


def test_torch_layouts(device, x, y):
    a = torch.from_numpy(x)
    agrees(a.T.contiguous().T, y, x, y, device)
    agrees(a.reshape(100, 3, 4).requires_grad_(), y, x, y, device)
    agrees(torch.from_numpy(x.astype(np.int64)), y, x.astype(np.int64), y, device)
    agrees(a[::2], y[::2], x[::2], y[::2], device)


def test_torch_is_viewed_without_a_copy(x):
    for dtype in (torch.bfloat16, torch.float32):
        tensor = torch.from_numpy(x).to(dtype)
        assert as_view(tensor, "x").address == tensor.data_ptr()


def test_torch_that_cannot_be_read(x):
    with pytest.raises(DeviceError, match=r"x\) is a torch tensor on meta"):
        fastcka.cka(torch.zeros(10, 2, device="meta"), x)
    with pytest.raises(InputError, match="dense torch tensor"):
        fastcka.cka(torch.eye(10).to_sparse(), x)
    with pytest.raises(InputError, match="real numbers of at least 16 bits, got complex64"):
        fastcka.cka(torch.zeros(10, 2, dtype=torch.complex64), x)


def test_dlpack(device, x, y):
    agrees(OnlyDLPack(x), y, x, y, device)
    assert as_view(OnlyDLPack(x), "x").address == x.ctypes.data
    with pytest.raises(DeviceError, match=r"is on a device \(DLPack type 10, .* neither the CPU"):
        fastcka.cka(OnlyDLPack(x, device=(10, 0)), y)


def test_nested_lists(device, x, y):
    agrees(x.tolist(), y.tolist(), x, y, device)
