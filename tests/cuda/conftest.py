"""Fixtures for the emulated device."""

from __future__ import annotations

import ctypes
from pathlib import Path
from types import SimpleNamespace

import pytest

import cuda_emulation
from fastcka.core import plain

ORDERS = ["forward", "reverse", "shuffle"]


@pytest.fixture(scope="session")
def samples_path(emulation_folder):
    """The compiled kernels of emulation_samples.cu."""
    source = Path(__file__).with_name("emulation_samples.cu")
    return cuda_emulation.build_module(emulation_folder, "emulation_samples", [source])


@pytest.fixture(scope="session")
def samples(samples_path):
    return cuda_emulation.load_module(samples_path, "emulation_samples")


@pytest.fixture
def library(samples_path):
    """The functions of CUDA, by ctypes; the device is reset after the test."""
    library = ctypes.CDLL(str(samples_path))
    yield library
    library.cudaDeviceReset()


@pytest.fixture
def cupy(samples_path):
    """Emulated cupy, on the device of `samples`."""
    return cuda_emulation.load_fake_cupy(samples_path)


@pytest.fixture
def floats(cupy):
    """Float32 in device memory, which the host reads without calls of CUDA."""

    def make(*values):
        memory = cupy.cuda.alloc(4 * len(values))
        content = (ctypes.c_float * len(values)).from_address(memory.ptr)
        content[:] = values
        return SimpleNamespace(memory=memory, ptr=memory.ptr, now=lambda: list(content))

    return make


@pytest.fixture(params=ORDERS)
def order(request, monkeypatch):
    """Every order in which the emulated device can run what CUDA leaves unordered."""
    monkeypatch.setenv("FASTCKA_EMULATION_ORDER", request.param)
    return request.param


@pytest.fixture(autouse=True)
def _no_prepared_calls():
    """Forget the plans of small calls: tests change what the planner predicts."""
    plain._prepared.cache_clear()
    yield
    plain._prepared.cache_clear()
