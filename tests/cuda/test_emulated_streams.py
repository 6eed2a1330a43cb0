"""The emulated streams: what runs when, what a missing wait does, and CUDA graphs."""

from __future__ import annotations

import ctypes
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

INVALID_HANDLE = 400
CAPTURE_UNSUPPORTED = 900
CAPTURE_INVALIDATED = 901
CAPTURE_IMPLICIT = 906
CAPTURE_THREAD_LOCAL = 1
DEVICE_TO_DEVICE = 3


def test_a_stream_runs_nothing_before_somebody_waits(samples, cupy, floats):
    x = floats(1, 2)
    stream = cupy.cuda.Stream(non_blocking=True)
    assert samples.add(2, x.ptr, 10, stream.ptr) == 0
    assert samples.add(1, x.ptr, 100, stream.ptr) == 0
    assert x.now() == [1, 2]
    stream.synchronize()
    assert x.now() == [111, 12]


def test_an_event_stands_for_the_work_before_it(samples, cupy, floats):
    x = floats(0)
    stream = cupy.cuda.Stream(non_blocking=True)
    event = cupy.cuda.Event()
    assert event.done  # nothing was recorded
    samples.add(1, x.ptr, 1, stream.ptr)
    stream.record(event)
    samples.add(1, x.ptr, 10, stream.ptr)
    assert not event.done
    event.synchronize()
    assert event.done
    assert x.now() == [1]
    stream.synchronize()
    assert x.now() == [11]


def test_asking_for_an_event_lets_the_stream_go_on(samples, cupy, floats):
    x = floats(0)
    stream = cupy.cuda.Stream(non_blocking=True)
    for _ in range(5):
        samples.add(1, x.ptr, 1, stream.ptr)
    event = stream.record()
    asked = 0
    while not event.done:
        asked += 1
    assert asked > 1
    assert x.now() == [5]


def test_a_wait_that_was_forgotten_shows(samples, cupy, floats, monkeypatch):
    """The reader's stream runs without that of the writer: its input is not there yet."""
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
    """The writer's stream runs ahead of that of the reader, unless an event holds it back."""
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


def test_chains_of_waits_end_in_every_order(samples, cupy, floats, order):
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


def test_threads_of_the_host_take_turns(samples, cupy, rng):
    values = rng.normal(size=(8, 5, 64)).astype(np.float32)
    mirrored = values.copy()

    def run(at):
        stream = cupy.cuda.Stream(non_blocking=True)
        for _ in range(20):
            assert samples.mirror(5, mirrored[at].ctypes.data, 21, stream.ptr) == 0
            stream.synchronize()
        assert samples.mirror(5, mirrored[at].ctypes.data, 1, stream.ptr) == 0
        stream.synchronize()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, range(8)))
    np.testing.assert_array_equal(mirrored, values[:, :, ::-1])


def test_the_legacy_stream_takes_turns_with_blocking_streams_only(
    samples, cupy, floats, monkeypatch
):
    monkeypatch.setenv("FASTCKA_EMULATION_ORDER", "forward")
    x, y, z = floats(0), floats(0), floats(0)
    blocking, free = cupy.cuda.Stream(), cupy.cuda.Stream(non_blocking=True)
    samples.add(1, x.ptr, 1, blocking.ptr)
    samples.add(1, y.ptr, 1, free.ptr)
    samples.add(1, z.ptr, 1, 0)
    assert (x.now(), y.now(), z.now()) == ([1], [0], [1])


def test_a_handle_that_is_no_stream_is_refused(samples):
    assert samples.add(1, 0, 1, 0xDEAD00) == INVALID_HANDLE


class Graphs:
    """Capture on a stream, and what was captured."""

    def __init__(self, library):
        self.library = library

    def begin(self, stream):
        return self.library.cudaStreamBeginCapture(ctypes.c_void_p(stream), CAPTURE_THREAD_LOCAL)

    def end(self, stream):
        graph = ctypes.c_void_p()
        status = self.library.cudaStreamEndCapture(ctypes.c_void_p(stream), ctypes.byref(graph))
        return status, graph

    def instantiate(self, graph):
        executable = ctypes.c_void_p()
        zero = ctypes.c_ulonglong(0)
        assert self.library.cudaGraphInstantiate(ctypes.byref(executable), graph, zero) == 0
        assert self.library.cudaGraphDestroy(graph) == 0
        return executable

    def launch(self, executable, stream):
        return self.library.cudaGraphLaunch(executable, ctypes.c_void_p(stream))


@pytest.fixture
def graphs(library):
    return Graphs(library)


def test_what_is_captured_runs_when_its_graph_is_launched(samples, cupy, floats, graphs):
    x = floats(0)
    recording, playing = cupy.cuda.Stream(non_blocking=True), cupy.cuda.Stream(non_blocking=True)
    assert graphs.begin(recording.ptr) == 0
    samples.add(1, x.ptr, 1, recording.ptr)
    samples.add(1, x.ptr, 10, recording.ptr)
    status, graph = graphs.end(recording.ptr)
    assert status == 0
    executable = graphs.instantiate(graph)
    recording.synchronize()
    assert x.now() == [0]
    for expected in (11, 22):
        assert graphs.launch(executable, playing.ptr) == 0
        assert x.now() == [expected - 11]
        playing.synchronize()
        assert x.now() == [expected]
    assert graphs.launch(executable, 0) == 0
    assert x.now() == [33]


def test_waiting_for_a_stream_that_captures_spoils_the_capture(samples, cupy, floats, graphs):
    x = floats(0)
    stream = cupy.cuda.Stream(non_blocking=True)
    assert graphs.begin(stream.ptr) == 0
    samples.add(1, x.ptr, 1, stream.ptr)
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="CaptureUnsupported"):
        stream.synchronize()
    status, graph = graphs.end(stream.ptr)
    assert status == CAPTURE_INVALIDATED
    assert not graph.value


def test_the_legacy_stream_cannot_be_captured(samples, cupy, floats, graphs):
    assert graphs.begin(0) == CAPTURE_UNSUPPORTED
    x = floats(0)
    blocking = cupy.cuda.Stream()
    assert graphs.begin(blocking.ptr) == 0
    assert samples.add(1, x.ptr, 1, 0) == CAPTURE_IMPLICIT
    graphs.end(blocking.ptr)
