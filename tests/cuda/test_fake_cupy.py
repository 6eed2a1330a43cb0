"""The stand-in for cupy: arrays and memory are as cupy's, and nothing is there that cupy lacks."""

from __future__ import annotations

import gc
import inspect
import threading
from types import SimpleNamespace

import numpy as np
import pytest


def test_arrays_go_to_the_device_and_back(cupy, rng):
    x = rng.normal(size=(6, 4))
    there = cupy.asarray(x)
    assert (there.shape, there.strides, there.dtype.name) == ((6, 4), (32, 8), "float64")
    assert there.device.id == 0
    np.testing.assert_array_equal(there.get(), x)
    np.testing.assert_array_equal(cupy.asarray(x.T, "f4").get(), x.T.astype("f4"))


def test_views_lie_in_the_memory_of_their_array(cupy, rng):
    x = rng.normal(size=(6, 4))
    there = cupy.asarray(x)
    part = there[1::2, ::-1]
    assert part.data.ptr == there.data.ptr + 32 + 24
    assert part.strides == (64, -8)
    assert there.T.data.ptr == there.reshape(3, 8).data.ptr == there.data.ptr
    del there
    np.testing.assert_array_equal(part.get(), x[1::2, ::-1])


def test_what_cannot_be_flattened_as_it_lies_is_copied(cupy, rng):
    x = rng.normal(size=(6, 4))
    part = cupy.asarray(x)[:, :3]
    flat = part.reshape(-1)
    assert flat.data.ptr != part.data.ptr
    np.testing.assert_array_equal(flat.get(), x[:, :3].reshape(-1))
    np.testing.assert_array_equal(part.astype("float32").get(), x[:, :3].astype("float32"))


def test_an_array_arrives_on_the_stream_that_was_current(cupy):
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        there = cupy.asarray(np.ones(4, np.float32))
        assert cupy.cuda.get_current_stream() is stream
    assert cupy.cuda.get_current_stream().ptr == 0
    assert np.isnan(there.get()).all()  # another stream does not wait for it
    stream.synchronize()
    assert (there.get() == 1).all()


def test_streams_are_current_in_their_thread_and_on_their_device(cupy, monkeypatch):
    monkeypatch.setenv("FASTCKA_EMULATION_DEVICES", "2")
    seen = []
    with cupy.cuda.Stream(non_blocking=True) as stream:
        other = threading.Thread(target=lambda: seen.append(cupy.cuda.get_current_stream().ptr))
        other.start()
        other.join()
        with cupy.cuda.Device(1):
            seen.append(cupy.cuda.get_current_stream().ptr)
            with pytest.raises(RuntimeError, match=r"created on \(0\) does not match"), stream:
                pass
    assert seen == [0, 0]


def test_dlpack_makes_the_reader_wait_for_the_writer(cupy):
    writer, reader = cupy.cuda.Stream(non_blocking=True), cupy.cuda.Stream(non_blocking=True)
    with writer:
        there = cupy.asarray(np.ones(4, np.float32))

        class Foreign:
            def __dlpack_device__(self):
                return 2, 0

            def __dlpack__(self, *, stream):
                with writer:
                    return there.__dlpack__(stream=stream)

    with reader:
        np.testing.assert_array_equal(cupy.from_dlpack(Foreign()).get(), np.ones(4))


def test_dlpack_of_another_device_is_refused(cupy, monkeypatch):
    monkeypatch.setenv("FASTCKA_EMULATION_DEVICES", "2")
    with cupy.cuda.Device(1):
        there = cupy.asarray(np.ones(4))
    with pytest.raises(BufferError, match=r"lies on \(2, 1\), the current device is 0"):
        cupy.from_dlpack(there)


def test_memory_runs_out_and_comes_back(cupy, monkeypatch):
    monkeypatch.setenv("FASTCKA_EMULATION_MEMORY", "10000")
    gc.collect()  # what tests before this one have left
    free = cupy.cuda.Device().mem_info[0]
    memory = cupy.cuda.alloc(free - 100)
    with pytest.raises(cupy.cuda.memory.OutOfMemoryError, match="allocating 200 bytes"):
        cupy.cuda.alloc(200)
    del memory
    assert cupy.cuda.Device().mem_info[0] == free
    assert issubclass(cupy.cuda.memory.OutOfMemoryError, MemoryError)


def test_pinned_memory_is_a_buffer_that_numpy_keeps_alive(cupy):
    memory = cupy.cuda.alloc_pinned_memory(100)
    ptr = memory.ptr
    array = np.frombuffer(memory, np.uint8, 100)
    assert array.ctypes.data == ptr
    assert memoryview(memory).nbytes == 512  # as cupy's, in units of that size
    del memory
    array[:] = 3
    other = cupy.cuda.alloc_pinned_memory(100)
    assert other.ptr != ptr
    del array
    assert cupy.cuda.alloc_pinned_memory(100).ptr == ptr


def test_errors_of_the_device_have_its_words(cupy, monkeypatch):
    monkeypatch.setenv("FASTCKA_EMULATION_DRIVER", "0")
    with pytest.raises(RuntimeError, match=r"cudaErrorInsufficientDriver: CUDA driver version"):
        cupy.cuda.alloc(1)


def names_below(name, value):
    """The name and those of its public attributes that can be called or hold such."""
    yield name, value
    if inspect.isclass(value) or isinstance(value, SimpleNamespace):
        for attribute, below in vars(value).items():
            if not attribute.startswith("_") and attribute != "ptr":  # cupy's objects alone have it
                yield from names_below(f"{name}.{attribute}", below)


def test_cupy_has_every_name_that_the_stand_in_has(cupy):
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
                continue  # no function, or a compiled one
            if "args" in expected:
                continue
            given = list(inspect.signature(value).parameters)
            assert given == expected[: len(given)], name
            compared.append(name)
    assert "cuda.Stream" in compared
    assert "cuda.Event" in compared
