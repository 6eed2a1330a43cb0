"""How fast a store can be read: as a sweep reads it, and by raw reads of the same files.

The page cache contains the files ("warm"), or was asked to drop them ("cold"; a file system may
ignore that).
"""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.clock import repeated, timed, wall_seconds
from benchmarks.sweep import forget, write_store

STATES = ("warm", "cold")


def shared_store(scratch, workload):
    """The store of a sweep, written by the first part that needs it."""
    store = Path(scratch) / "store"
    if not store.exists():
        unfinished = store.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        write_store(unfinished, workload)
        unfinished.rename(store)
    return store


def measure_reads(part, sizes, scratch):
    """Put the rates of both ways for each number of threads, the largest first."""
    store = shared_store(scratch, sizes.sweep)
    available = len(os.sched_getaffinity(0))
    for state in STATES:
        for threads in sorted(sizes.threads, reverse=True):
            if threads <= available:
                for way in (read_raw, read_sweep):
                    name = f"{way.__name__} {state}, {threads} threads"
                    part.measure(name, _rate, way, store, state, threads)


def read_raw(store, threads):
    """Read all files whole into new arrays; return their bytes.

    The arrays are kept until the end: memory that is freed and used for the next file stays in the
    processor's cache, which no comparison of many representations can use.
    """

    def read(path):
        into = np.empty(path.stat().st_size, np.uint8)
        with path.open("rb", buffering=0) as file:
            if file.readinto(into) != into.size:
                raise OSError(f"{path}: read short")
        return into

    with ThreadPoolExecutor(threads) as pool:
        return sum(into.size for into in list(pool.map(read, sorted(store.rglob("*.h5")))))


def read_sweep(store, threads):
    """Read all groups as a sweep does, with two in memory; return their bytes."""
    from fastcka import open_store
    from fastcka.sweep.running.buffers import Buffers
    from fastcka.sweep.running.loading import load_group

    total, buffers, before = 0, Buffers(), None
    with open_store(store) as opened:
        for group in _groups(store, threads):
            loaded = load_group(group, opened, buffers)
            total += sum(x.array.nbytes for x in loaded)
            before, loaded = loaded, None  # the group before it is computed meanwhile
    del before
    return total


@cache
def _groups(store, threads):
    """The groups of the sweep that compares the models in each layer."""
    from fastcka.sweep import SweepConfig, plan_sweep

    config = SweepConfig.model_validate(
        {
            "store": store,
            "output": store.with_name("unused"),
            "compare": {"within": ["layer"]},
            "device": "cpu",
        }
    )
    return plan_sweep(config, threads=threads).groups


def _rate(way, store, state, threads):
    sizes = []

    def read():
        sizes.append(way(store, threads))

    with usable(threads):
        if state == "cold":
            forget(store)
            samples = {"median": timed(read)[1], "samples": 1}
        else:
            samples = repeated(lambda: wall_seconds(read), warmup=1, least=3)
    return {
        "median": samples["median"],
        "seconds": samples,
        "bytes": sizes[-1],
        "bytes_per_second": sizes[-1] / samples["median"],
    }


@contextmanager
def usable(processors):
    """Let this thread, and those that it starts, use only some processors."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:processors])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
