"""The emulated memory: never written, freed, overrun, pinned, pageable, of another device."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

INVALID_VALUE = 1
INVALID_HANDLE = 400
ILLEGAL_ADDRESS = 700
DEVICE_TO_DEVICE = 3


def address(array):
    return array.ctypes.data


def test_memory_that_was_not_written_is_nan(cupy):
    memory = cupy.cuda.alloc(80)
    there = (ctypes.c_byte * 80).from_address(memory.ptr)
    assert np.isnan(np.frombuffer(there, np.float64)).all()
    assert np.isnan(np.frombuffer(there, np.float32)).all()
    assert np.isnan(np.frombuffer(there, np.float16)).all()


def test_freed_memory_is_lost_in_the_order_of_its_stream(samples, cupy, floats):
    stream, other = cupy.cuda.Stream(non_blocking=True), cupy.cuda.Stream(non_blocking=True)
    seen = floats(0)
    with stream:
        memory = cupy.cuda.alloc(4)
    ptr = memory.ptr
    there = (ctypes.c_float * 1).from_address(ptr)
    there[0] = 5
    cupy.cuda.runtime.memcpyAsync(seen.ptr, ptr, 4, DEVICE_TO_DEVICE, stream.ptr)
    del memory
    with other:
        assert cupy.cuda.alloc(4).ptr != ptr
    with stream:
        assert cupy.cuda.alloc(4).ptr == ptr
    assert there[0] == 5
    stream.synchronize()
    assert seen.now() == [5]
    assert np.isnan(there[0])


@pytest.mark.parametrize("place", [-1, 2, 513])
def test_writing_beside_an_allocation_is_noticed(samples, library, cupy, capfd, place):
    memory = cupy.cuda.alloc(8)
    assert samples.add(1, memory.ptr + 4 * place, 1, 0) == 0
    del memory
    assert "beside an allocation of 8 bytes" in capfd.readouterr().err
    assert library.cudaGetLastError() == ILLEGAL_ADDRESS


def test_pageable_memory_is_read_at_once_and_pinned_memory_when_its_turn_comes(cupy, floats):
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


def test_copies_to_pageable_memory_are_waited_for(samples, cupy, floats):
    x, host = floats(1), np.zeros(1, np.float32)
    stream = cupy.cuda.Stream(non_blocking=True)
    samples.add(1, x.ptr, 1, stream.ptr)
    kind = cupy.cuda.runtime.memcpyDeviceToHost
    cupy.cuda.runtime.memcpyAsync(address(host), x.ptr, 4, kind, stream.ptr)
    assert host[0] == 2


def test_a_copy_in_the_wrong_direction_is_refused(cupy, floats):
    x, host = floats(1), np.zeros(1, np.float32)
    pinned = cupy.cuda.alloc_pinned_memory(4)
    runtime = cupy.cuda.runtime
    for to, source, kind in [
        (address(host), x.ptr, runtime.memcpyHostToDevice),
        (pinned.ptr, address(host), runtime.memcpyHostToDevice),
        (x.ptr, address(host), runtime.memcpyDeviceToHost),
        (address(host), pinned.ptr, runtime.memcpyDeviceToHost),
    ]:
        with pytest.raises(runtime.CUDARuntimeError) as caught:
            runtime.memcpyAsync(to, source, 4, kind, 0)
        assert caught.value.status == INVALID_VALUE


def test_devices_are_apart(samples, cupy, monkeypatch):
    monkeypatch.setenv("FASTCKA_EMULATION_DEVICES", "2")
    monkeypatch.setenv("FASTCKA_EMULATION_MEMORY", "1000")
    free = cupy.cuda.Device(0).mem_info
    with cupy.cuda.Device(1):
        stream = cupy.cuda.Stream(non_blocking=True)
        memory = cupy.cuda.alloc(600)
    assert cupy.cuda.Device(1).mem_info == (400, 1000)
    assert cupy.cuda.Device(0).mem_info == free
    assert samples.add(1, memory.ptr, 1, stream.ptr) == INVALID_HANDLE
    with cupy.cuda.Device(1):
        assert samples.add(1, memory.ptr, 1, stream.ptr) == 0
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="cudaErrorInvalidDevice"):
        cupy.cuda.Device(2).__enter__()
