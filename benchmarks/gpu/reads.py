"""How fast a store can be read: by `Store.read_many`, and by raw reads of the same files.

The page cache contains the files ("warm"), or was asked to drop them ("cold"; a file system may
ignore that).
"""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

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
                for way in (read_raw, read_many):
                    name = f"{way.__name__} {state}, {threads} threads"
                    part.measure(name, _rate, way, store, state, threads)


def read_raw(store, threads):
    """Read all files whole; return their bytes."""
    files = sorted(store.rglob("*.h5"))
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(lambda path: len(path.read_bytes()), files))


def read_many(store, threads):  # noqa: ARG001 (the processors that are usable are as many)
    """Read all representations, a group at a time as a sweep does; return their bytes."""
    from fastcka import open_store

    total = 0
    with open_store(store) as opened:
        keys = list(opened.keys())
        for layer in sorted({key.layer for key in keys}):
            arrays = opened.read_many([key for key in keys if key.layer == layer])
            total += sum(x.nbytes for x in arrays)
    return total


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
