"""Tests that need a real GPU: streams of other libraries, rounding of cuBLAS, several devices.

`pytest -m gpu --device cuda` runs these and the tests of the CPU on the device.
"""

from __future__ import annotations

import numpy as np
import pytest

import fastcka
from checks import agrees, compared
from fastcka.core import cuda_status
from samples import related


@pytest.fixture
def gpu(device, request):
    if request.config.getoption("--device") != "cuda":
        pytest.skip("needs a GPU: pytest -m gpu --device cuda")
    return device


@pytest.fixture
def cupy(gpu):
    return pytest.importorskip("cupy")


@pytest.fixture
def torch(gpu):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this torch has no CUDA")
    return torch


@pytest.mark.parametrize("where", ["host", "device"])
@pytest.mark.parametrize(
    ("n", "widths"),
    [(40, (3, 900)), (300, (64, 2048, 777)), (2500, (40, 512, 64)), (5000, (16, 24, 100))],
)
@pytest.mark.parametrize(
    ("precision", "tolerance"), [("high", 1e-6), ("fast", 2e-4), ("float64", 1e-11)]
)
def test_precisions(cupy, rng, where, n, widths, precision, tolerance):
    xs = related(rng, n, widths)
    arrays = xs if where == "host" else [cupy.asarray(x) for x in xs]
    result = agrees(arrays, xs, tolerance, device="cuda", precision=precision)
    again = fastcka.compare(arrays, device="cuda", precision=precision)
    np.testing.assert_array_equal(result.hsic_unbiased, again.hsic_unbiased)


def test_groups_give_the_bits_of_single_passes(gpu, rng):
    groups = [related(rng, n, (20, 300)) for n in (200, 900, 200, 900, 200)]
    for result, xs in zip(compared(groups, device="cuda"), groups, strict=True):
        alone = fastcka.compare(xs, device="cuda")
        np.testing.assert_array_equal(result.hsic_unbiased, alone.hsic_unbiased)


def test_cupy_on_a_stream_that_is_busy(cupy, rng):
    xs = related(rng, 500, (100, 130))
    with cupy.cuda.Stream(non_blocking=True):
        square = cupy.ones((3000, 3000), dtype="float32")
        arrays = [cupy.asarray(x) for x in xs]
        for _ in range(20):
            square = square @ square / 3000
        arrays = [x + (square[0, 0] - 1) for x in arrays]
        agrees([arrays[0].T.copy().T, arrays[1]], xs)


def test_torch_on_a_stream_that_is_busy(torch, rng):
    xs = related(rng, 500, (100, 130))
    with torch.cuda.stream(torch.cuda.Stream()):
        square = torch.ones((3000, 3000), device="cuda")
        arrays = [torch.from_numpy(x).to("cuda") for x in xs]
        for _ in range(20):
            square = square @ square / 3000
        arrays = [x + (square[0, 0] - 1) for x in arrays]
        agrees([arrays[0].T.contiguous().T.requires_grad_(), arrays[1].reshape(500, 13, 10)], xs)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "int32"])
def test_torch_dtypes(torch, rng, dtype):
    tensors = [
        (torch.from_numpy(x) * 4).to(getattr(torch, dtype)) for x in related(rng, 300, (70, 90))
    ]
    exact = [tensor.double().numpy() for tensor in tensors]
    result = agrees([tensor.to("cuda") for tensor in tensors], exact)
    assert result.provenance["device_reason"] == "the arrays are on it"


def test_every_device(cupy, rng):
    xs = related(rng, 300, (70, 90))
    devices = cuda_status().devices
    for gpu in devices:
        name = f"cuda:{gpu.index}"
        assert agrees(xs, xs, device=name).provenance["device"] == str(gpu)
        with cupy.cuda.Device(gpu.index):
            arrays = [cupy.asarray(x) for x in xs]
        assert agrees(arrays, xs).provenance["device"] == str(gpu)
    if len(devices) < 2:
        pytest.skip("one device: the others were not tested")
