"""A case from a store: groups that are read, copied, centred and computed, each beside the others.

The files were just written, so that they come from the page cache of the operating system: what is
measured is HDF5, its checksums and the way to the GPU, not a disk.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

MODEL = "run"


class TooLongError(Exception):
    """What was asked for would not fit the time or the disk."""


@contextmanager
def written_store(case, xs, *, groups, seconds, folder=None):
    """A temporary store with ``groups`` steps of the same data; `TooLongError` if there is none."""
    from fastcka.store import create_store

    with tempfile.TemporaryDirectory(prefix="fastcka-gpu-check-", dir=folder) as name:
        free, needed = shutil.disk_usage(name).free, groups * case.bytes
        if free < 1.2 * needed:
            raise TooLongError(
                f"{needed / 1e9:.1f} GB are to be written, {free / 1e9:.1f} GB are free"
            )
        layers = {f"layer{i}": x.cpu().numpy() for i, x in enumerate(xs)}
        start = time.perf_counter()
        with create_store(Path(name) / "store") as store:
            # A twentieth at first, which tells how long the rest will take.
            some = dict(list(layers.items())[: max(1, len(layers) // 20)])
            store.write(model="trial", step=0, layers=some)
            needed = (time.perf_counter() - start) * len(layers) / len(some) * groups
            if needed > seconds:
                raise TooLongError(
                    f"writing it would take {needed:.0f} s of the {seconds:.0f} s left"
                )
            for step in range(groups):
                store.write(model=MODEL, step=step, layers=layers)
        del layers
        yield Path(name) / "store", time.perf_counter() - start


def read_groups(path, case, groups):
    """Each group as it is read, the next one in a thread meanwhile; nothing is computed."""
    from fastcka.store import Key, open_store, prefetch

    with open_store(path) as store:

        def load(step):
            return [store.read(Key(MODEL, step, f"layer{i}")) for i in range(case.m)]

        for _, arrays in prefetch(range(groups), load):
            yield arrays


def from_store(case, xs, check, *, groups, seconds, folder=None):
    """Seconds a group from the store, beside those of reading alone; or why it was not measured.

    ``check(comparison)`` gives the errors that are put beside them.
    """
    from fastcka.core import compare_many

    try:
        with written_store(case, xs, groups=groups, seconds=seconds, folder=folder) as (path, took):
            start = time.perf_counter()
            for arrays in read_groups(path, case, groups):
                del arrays
            reading = time.perf_counter() - start
            start = time.perf_counter()
            results = [
                result
                for results in compare_many(read_groups(path, case, groups), device="cuda")
                for result in results
            ]
            whole = time.perf_counter() - start
    except TooLongError as error:
        return {"skipped": str(error)}
    told = results[-1].provenance
    return {
        "median": whole / groups,
        "groups": groups,
        "seconds_per_group": whole / groups,
        "seconds_per_group_reading_alone": reading / groups,
        "bytes_per_second": groups * case.bytes / whole,
        "seconds_to_write": took,
        "ran": {name: told[name] for name in ("device", "route", "products", "tile")},
        "errors": check(results[-1]),
    }
