"""Bytes per second from the host to the GPU, by the same code that a pass copies with."""

from __future__ import annotations

import numpy as np

from benchmarks.clock import repeated, timed, wall_seconds
from benchmarks.gpu.resident import upload
from benchmarks.gpu.verdict import ORDINARY
from fastcka.core.backend import resolve_threads
from fastcka.core.cuda.session import import_cupy


def measure_copies(part, sizes):
    """Put the rate of ordinary arrays by threads, of pinned ones, and of registered ones."""
    count, shape = sizes.copies
    rng = np.random.default_rng(0)
    arrays = [rng.random(shape, dtype=np.float32) for _ in range(count)]
    every, _ = resolve_threads(None)
    part.measure(ORDINARY, _rate, arrays, every)
    for threads in sizes.threads:
        if threads <= every:
            part.measure(f"ordinary, {threads} threads", _rate, arrays, threads)
    part.measure("ordinary, float16 by rows", _rate, _strided(arrays), every)
    part.measure("registered", _registered, arrays)
    pinned = [_pinned(x) for x in arrays]
    part.measure("pinned", _rate, pinned, 1)


def _strided(arrays):
    """Every second row of float16: the threads cannot copy whole arrays at once."""
    return [x.astype(np.float16)[::2] for x in arrays]


def _rate(arrays, threads):
    samples = repeated(lambda: wall_seconds(lambda: upload(arrays, threads=threads)))
    size = sum(x.nbytes for x in arrays)
    return {
        "median": samples["median"],
        "seconds": samples,
        "threads": threads,
        "bytes_per_second": size / samples["median"],
    }


def _registered(arrays):
    """The rate from memory that CUDA has registered, and how long registering it takes."""
    runtime = import_cupy().cuda.runtime
    size = sum(x.nbytes for x in arrays)

    def register():
        for x in arrays:
            runtime.hostRegister(x.ctypes.data, x.nbytes, 0)

    def unregister():
        for x in arrays:
            runtime.hostUnregister(x.ctypes.data)

    _, registering = timed(register)
    try:
        measured = _rate(arrays, 1)
    finally:
        _, unregistering = timed(unregister)
    once = registering + measured["median"] + unregistering
    return measured | {
        "register_bytes_per_second": size / registering,
        "unregister_bytes_per_second": size / unregistering,
        "once_bytes_per_second": size / once,
    }


def _pinned(x):
    """A copy of an array in pinned memory."""
    memory = import_cupy().cuda.alloc_pinned_memory(x.nbytes)
    copy = np.frombuffer(memory, x.dtype, x.size).reshape(x.shape)
    copy[:] = x
    return copy
