"""The emulated device: grids, blocks, barriers and half floats; and the builder."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

import cuda_emulation

INVALID_CONFIGURATION = 9
INSUFFICIENT_DRIVER = 35
NO_DEVICE = 100
LAUNCH_FAILURE = 719


def address(array):
    return array.ctypes.data


@pytest.mark.parametrize("grid", [(1, 1, 1), (5, 1, 1), (2, 3, 4)])
@pytest.mark.parametrize("block", [(1, 1, 1), (1024, 1, 1), (4, 6, 2)])
def test_every_thread_of_every_block_runs_once(samples, order, grid, block):
    visits = np.zeros(np.prod(grid) * np.prod(block) + 1, np.int32)
    assert samples.visit(grid, block, address(visits)) == 0
    assert visits[:-1].tolist() == [1] * (len(visits) - 1)
    assert visits[-1] == 0


@pytest.mark.parametrize(
    ("grid", "block"),
    [
        ((0, 1, 1), (1, 1, 1)),
        ((1, 65536, 1), (1, 1, 1)),
        ((1, 1, 65536), (1, 1, 1)),
        ((1, 1, 1), (1025, 1, 1)),
        ((1, 1, 1), (32, 33, 1)),
        ((1, 1, 1), (1, 1, 65)),
        ((1, 1, 1), (1, 0, 1)),
    ],
)
def test_launches_beyond_the_limits_are_refused(samples, library, grid, block):
    visits = np.zeros(70000, np.int32)
    assert samples.visit(grid, block, address(visits)) == INVALID_CONFIGURATION
    assert not visits.any()
    assert library.cudaGetLastError() == INVALID_CONFIGURATION
    assert library.cudaGetLastError() == 0


def test_threads_wait_for_each_other_at_a_barrier(samples, order, rng):
    values = rng.normal(size=(7, 64)).astype(np.float32)
    mirrored = values.copy()
    assert samples.mirror(7, address(mirrored), 3, 0) == 0
    np.testing.assert_array_equal(mirrored, values[:, ::-1])


def test_a_missing_barrier_shows_in_another_order(samples, monkeypatch):
    def run(order):
        monkeypatch.setenv("FASTCKA_EMULATION_ORDER", order)
        values = np.full(64, -1, np.float32)
        assert samples.racing_mirror(address(values)) == 0  # so that shared memory holds -1
        values[:] = np.arange(64)
        assert samples.racing_mirror(address(values)) == 0
        return values.tolist()

    assert run("forward") != run("reverse")
    assert run("forward") != run("shuffle")


def test_blocks_that_write_to_one_place_show_in_another_order(samples, monkeypatch):
    last = np.zeros(1, np.uint32)
    found = {}
    for order in ("forward", "reverse", "shuffle"):
        monkeypatch.setenv("FASTCKA_EMULATION_ORDER", order)
        assert samples.last_block(1000, address(last)) == 0
        found[order] = int(last[0])
    assert found["forward"] == 999
    assert found["reverse"] == 0
    assert found["shuffle"] not in (0, 999)


@pytest.mark.parametrize(
    ("kernel", "words"),
    [
        ("early_return", "32 threads wait there and 32 have returned"),
        ("two_barriers", "other threads wait at"),
    ],
)
def test_a_divergent_barrier_ends_the_use_of_the_device(samples, library, capfd, kernel, words):
    values = np.zeros(64, np.float32)
    assert getattr(samples, kernel)(address(values)) == LAUNCH_FAILURE
    message = capfd.readouterr().err
    assert "emulation_samples.cu:" in message
    assert "divergent __syncthreads() in block (0, 0, 0)" in message
    assert f"{kernel}_kernel" in message
    assert words in message
    assert not values.any()
    assert samples.mirror(1, address(values), 1, 0) == LAUNCH_FAILURE  # it sticks, as in CUDA
    assert library.cudaDeviceReset() == 0
    assert samples.mirror(1, address(values), 1, 0) == 0


def test_halves_are_rounded_to_nearest_even(samples):
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    every = every[np.isfinite(every)].astype(np.float32)
    values = np.concatenate([every, (every[:-1] + every[1:]) / 2, every * np.float32(1 + 2**-12)])
    values = np.concatenate([values, np.float32([65519.9, 65520, 1e30, np.inf, -np.inf, 1e-30])])
    halves, back = np.zeros(len(values), np.float16), np.zeros(len(values), np.float32)
    assert samples.round(len(values), address(values), address(halves), address(back)) == 0
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(halves, values.astype(np.float16))
    np.testing.assert_array_equal(back, halves.astype(np.float32))


@pytest.mark.parametrize(
    ("variable", "expected"),
    [("FASTCKA_EMULATION_DEVICES", NO_DEVICE), ("FASTCKA_EMULATION_DRIVER", INSUFFICIENT_DRIVER)],
)
def test_a_machine_without_a_device(samples, library, monkeypatch, variable, expected):
    monkeypatch.setenv(variable, "0")
    count = ctypes.c_int(7)
    assert library.cudaGetDeviceCount(ctypes.byref(count)) == expected
    assert count.value == 0
    assert samples.add(1, 0, 1, 0) == expected


def test_a_device_that_has_failed_runs_nothing(samples, library, cupy, floats, monkeypatch):
    x = floats(0)
    stream = cupy.cuda.Stream(non_blocking=True)
    samples.add(1, x.ptr, 1, stream.ptr)
    event = stream.record()
    monkeypatch.setenv("FASTCKA_EMULATION_FAILURE", str(LAUNCH_FAILURE))
    assert samples.add(1, x.ptr, 1, 0) == LAUNCH_FAILURE
    assert cupy.cuda.runtime.eventQuery(event.ptr) == LAUNCH_FAILURE
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="cudaErrorLaunchFailure"):
        stream.synchronize()
    assert x.now() == [0]


def test_what_was_built_is_used_again(samples_path, emulation_folder, monkeypatch):
    monkeypatch.delattr(cuda_emulation.subprocess, "run")
    source = cuda_emulation.ROOT / "tests" / "cuda" / "emulation_samples.cu"
    again = cuda_emulation.build_module(emulation_folder, "emulation_samples", [source])
    assert again == samples_path


def test_an_error_of_the_compiler_is_shown(tmp_path):
    broken = tmp_path / "broken.cu"
    broken.write_text("__global__ void f_kernel() { undeclared(); }", "utf-8")
    with pytest.raises(RuntimeError, match="undeclared"):
        cuda_emulation.build_module(tmp_path, "broken", [broken])
