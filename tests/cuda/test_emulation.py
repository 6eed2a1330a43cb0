"""The emulated device shows races and missing waits, and its products agree with NumPy."""

from __future__ import annotations

import ctypes
import gc
import inspect
import itertools
from types import SimpleNamespace

import numpy as np
import pytest

ILLEGAL_ADDRESS = 700
LAUNCH_FAILURE = 719
CAPTURE_THREAD_LOCAL = 1
DEVICE_TO_DEVICE = 3
# cuBLAS: the type and its code of A and B, of C, and the code of the compute type.
COMBINATIONS = [
    (np.float16, 2, np.float32, 0, 68),
    (np.float32, 0, np.float32, 0, 69),
    (np.float64, 1, np.float64, 1, 70),
]


def address(array):
    return array.ctypes.data


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
    last = np.zeros(1, np.float32)
    values = {}
    for order in ("forward", "reverse", "shuffle"):
        monkeypatch.setenv("FASTCKA_EMULATION_ORDER", order)
        assert samples.last_block(1000, address(last)) == 0
        values[order] = int(last[0])
    assert values["forward"] == 999
    assert values["reverse"] == 0
    assert values["shuffle"] not in (0, 999)


def test_threads_wait_for_each_other_at_a_barrier(samples, order, rng):
    values = rng.normal(size=64).astype(np.float32)
    mirrored = values.copy()
    assert samples.mirror(address(mirrored)) == 0
    np.testing.assert_array_equal(mirrored, values[::-1])


def test_a_divergent_barrier_ends_the_use_of_the_device(samples, library, capfd):
    values = np.zeros(64, np.float32)
    assert samples.two_barriers(address(values)) == LAUNCH_FAILURE
    message = capfd.readouterr().err
    assert "divergent __syncthreads() in block (0, 0, 0)" in message
    assert "two_barriers_kernel" in message
    assert not values.any()
    assert samples.mirror(address(values)) == LAUNCH_FAILURE  # the error persists, as in CUDA
    assert library.cudaDeviceReset() == 0
    assert samples.mirror(address(values)) == 0


def test_a_missing_wait_shows(samples, cupy, floats, monkeypatch):
    """The stream of the reader runs without that of the writer: its input is missing."""
    monkeypatch.setenv("FASTCKA_EMULATION_ORDER", "forward")

    def read(wait):
        x, seen = floats(0), floats(0)
        writer, reader = cupy.cuda.Stream(non_blocking=True), cupy.cuda.Stream(non_blocking=True)
        samples.add(1, x.ptr, 1, writer.ptr)
        if wait:
            reader.wait_event(writer.record())
        copy = cupy.cuda.runtime.memcpyAsync
        copy(seen.ptr, x.ptr, 4, DEVICE_TO_DEVICE, reader.ptr)
        reader.synchronize()
        return seen.now()

    assert read(wait=True) == [1]
    assert read(wait=False) == [0]


def test_an_early_overwrite_shows_in_reverse_order(samples, cupy, floats, monkeypatch):
    """The stream of the writer runs before that of the reader, unless it waits for an event."""
    monkeypatch.setenv("FASTCKA_EMULATION_ORDER", "reverse")

    def read(wait):
        x, seen = floats(1), floats(0)
        writer, reader = cupy.cuda.Stream(non_blocking=True), cupy.cuda.Stream(non_blocking=True)
        cupy.cuda.runtime.memcpyAsync(seen.ptr, x.ptr, 4, DEVICE_TO_DEVICE, reader.ptr)
        if wait:
            writer.wait_event(reader.record())
        samples.add(1, x.ptr, 1, writer.ptr)
        reader.synchronize()
        return seen.now()

    assert read(wait=True) == [1]
    assert read(wait=False) == [2]


def test_chains_of_waits_complete_in_every_order(samples, cupy, floats, order):
    x = floats(1)
    streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(4)]
    for turn in range(20):
        stream = streams[turn * 7 % 4]
        samples.add(1, x.ptr, 1, stream.ptr)
        event = stream.record()
        for other in streams:
            other.wait_event(event)
    event.synchronize()
    assert x.now() == [21]


def test_a_graph_runs_when_it_is_launched(samples, library, cupy, floats):
    x = floats(0)
    stream = cupy.cuda.Stream(non_blocking=True)
    handle, graph, executable = ctypes.c_void_p(stream.ptr), ctypes.c_void_p(), ctypes.c_void_p()
    assert library.cudaStreamBeginCapture(handle, CAPTURE_THREAD_LOCAL) == 0
    samples.add(1, x.ptr, 1, stream.ptr)
    samples.add(1, x.ptr, 10, stream.ptr)
    assert library.cudaStreamEndCapture(handle, ctypes.byref(graph)) == 0
    zero = ctypes.c_ulonglong(0)
    assert library.cudaGraphInstantiate(ctypes.byref(executable), graph, zero) == 0
    stream.synchronize()
    assert x.now() == [0]
    for expected in (11, 22):
        assert library.cudaGraphLaunch(executable, handle) == 0
        assert x.now() == [expected - 11]
        stream.synchronize()
        assert x.now() == [expected]


def test_memory_that_was_not_written_is_nan(cupy):
    memory = cupy.cuda.alloc(80)
    content = (ctypes.c_byte * 80).from_address(memory.ptr)
    for dtype in (np.float64, np.float32, np.float16):
        assert np.isnan(np.frombuffer(content, dtype)).all()


def test_freed_memory_is_overwritten_in_the_order_of_its_stream(samples, cupy, floats):
    stream, other = cupy.cuda.Stream(non_blocking=True), cupy.cuda.Stream(non_blocking=True)
    seen = floats(0)
    with stream:
        memory = cupy.cuda.alloc(4)
    ptr = memory.ptr
    content = (ctypes.c_float * 1).from_address(ptr)
    content[0] = 5
    cupy.cuda.runtime.memcpyAsync(seen.ptr, ptr, 4, DEVICE_TO_DEVICE, stream.ptr)
    del memory
    with other:
        assert cupy.cuda.alloc(4).ptr != ptr
    with stream:
        assert cupy.cuda.alloc(4).ptr == ptr
    assert content[0] == 5
    stream.synchronize()
    assert seen.now() == [5]
    assert np.isnan(content[0])


@pytest.mark.parametrize("place", [-1, 2, 513])
def test_writing_outside_an_allocation_is_noticed(samples, library, cupy, capfd, place):
    memory = cupy.cuda.alloc(8)
    assert samples.add(1, memory.ptr + 4 * place, 1, 0) == 0
    del memory
    assert "outside an allocation of 8 bytes" in capfd.readouterr().err
    assert library.cudaGetLastError() == ILLEGAL_ADDRESS


def test_pageable_memory_is_read_at_once_and_pinned_memory_in_stream_order(cupy, floats):
    copy, to_device = cupy.cuda.runtime.memcpyAsync, cupy.cuda.runtime.memcpyHostToDevice
    stream = cupy.cuda.Stream(non_blocking=True)
    pinned = cupy.cuda.alloc_pinned_memory(4)
    for array, expected in [
        (np.ones(1, np.float32), [1]),
        (np.frombuffer(pinned, np.float32, 1), [2]),
    ]:
        x = floats(0)
        array[0] = 1
        copy(x.ptr, address(array), 4, to_device, stream.ptr)
        array[0] = 2
        assert x.now() == [0]
        stream.synchronize()
        assert x.now() == expected


def test_memory_runs_out_and_comes_back(cupy, monkeypatch):
    monkeypatch.setenv("FASTCKA_EMULATION_MEMORY", "10000")
    gc.collect()  # objects of earlier tests
    free = cupy.cuda.Device().mem_info[0]
    memory = cupy.cuda.alloc(free - 100)
    with pytest.raises(cupy.cuda.memory.OutOfMemoryError, match="allocating 200 bytes"):
        cupy.cuda.alloc(200)
    del memory
    assert cupy.cuda.Device().mem_info[0] == free
    assert issubclass(cupy.cuda.memory.OutOfMemoryError, MemoryError)


@pytest.mark.parametrize("combination", COMBINATIONS)
@pytest.mark.parametrize("operations", list(itertools.product([0, 1], repeat=2)))  # 1: transposed
@pytest.mark.parametrize("shape", [(1, 1, 1), (17, 5, 33), (3, 70, 1), (50, 2, 64)])
@pytest.mark.parametrize(("alpha", "beta"), [(1, 0), (-0.5, 0.25)])
def test_products_are_those_of_numpy(library, rng, combination, operations, shape, alpha, beta):
    dtype, code, dtype_c, code_c, compute = combination
    m, n, k = shape
    batch = 3
    # In column-major order, so that each matrix of NumPy is the transpose of one of cuBLAS.
    a = rng.normal(size=(batch, *((m, k) if operations[0] else (k, m)))).astype(dtype)
    b = rng.normal(size=(batch, *((k, n) if operations[1] else (n, k)))).astype(dtype)
    room = rng.normal(size=(batch, n, m + 3)).astype(dtype_c)  # 3 numbers after each column
    c = room[:, :, :m]
    left = (a if operations[0] else a.transpose(0, 2, 1)).astype(np.float64)
    right = (b if operations[1] else b.transpose(0, 2, 1)).astype(np.float64)
    expected = room.astype(np.float64)
    expected[:, :, :m] = (alpha * (left @ right)).transpose(0, 2, 1) + beta * c
    if beta == 0:
        c[:] = np.nan  # not read
    scalar = ctypes.c_double if dtype_c == np.float64 else ctypes.c_float
    handle = ctypes.c_void_p()
    assert library.cublasCreate_v2(ctypes.byref(handle)) == 0
    placed = [
        (ctypes.c_void_p(address(x)), kind, x.shape[2], ctypes.c_longlong(x[0].size))
        for x, kind in ((a, code), (b, code), (room, code_c))
    ]
    status = library.cublasGemmStridedBatchedEx(
        *(handle, *operations, m, n, k, ctypes.byref(scalar(alpha)), *placed[0], *placed[1]),
        *(ctypes.byref(scalar(beta)), *placed[2], batch, compute, -1),
    )
    assert library.cublasDestroy_v2(handle) == 0
    assert status == 0
    tolerance = 1e-13 if dtype_c == np.float64 else 1e-5
    np.testing.assert_allclose(room, expected, rtol=0, atol=tolerance * k)


def names_below(name, value):
    """The name, and those of its public attributes that are callable or contain callables."""
    yield name, value
    if inspect.isclass(value) or isinstance(value, SimpleNamespace):
        for attribute, below in vars(value).items():
            if not attribute.startswith("_") and attribute != "ptr":  # only objects of cupy have it
                yield from names_below(f"{name}.{attribute}", below)


def test_external_streams_are_those_of_cupy_14(cupy):
    with pytest.warns(DeprecationWarning, match="Use Stream.from_external"):
        cupy.cuda.ExternalStream(0)
    foreign = cupy.cuda.Stream(non_blocking=True)
    protocol = SimpleNamespace(__cuda_stream__=lambda: (0, foreign.ptr))
    stream = cupy.cuda.Stream.from_external(protocol)
    assert (stream.ptr, stream.device_id) == (foreign.ptr, -1)
    del stream  # does not destroy the stream of the other library
    foreign.synchronize()


def test_cupy_has_every_name_of_the_emulated_cupy(cupy):
    true = pytest.importorskip("cupy", reason="cupy is not installed: nothing to compare with")
    compared = []
    for root in cupy.__all__:
        for name, value in names_below(root, getattr(cupy, root)):
            place = true
            for part in name.split("."):
                assert hasattr(place, part), f"cupy has no {name}"
                place = getattr(place, part)
            try:
                expected = list(inspect.signature(place).parameters)
            except (TypeError, ValueError):
                continue  # not a function, or a compiled one
            if "args" in expected:
                continue
            given = list(inspect.signature(value).parameters)
            assert given == expected[: len(given)], name
            compared.append(name)
    assert "cuda.Stream" in compared
    assert "cuda.Event" in compared
