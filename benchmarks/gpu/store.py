"""Groups from a store: each is read, copied and centred while another is computed.

The files were just written, so the operating system has them in its page cache. This measures
HDF5, its checksums and the way to the GPU, not a disk.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.by_fastcka import comparisons
from benchmarks.clock import timed

MODEL = "run"
GROUPS = 2


class TooLongError(Exception):
    """Writing the store would take too much time or too much of the disk."""


@contextmanager
def written_store(workload, xs, *, seconds):
    """A temporary store that has the same data at each of `GROUPS` steps, and seconds to write."""
    from fastcka.store import create_store

    with tempfile.TemporaryDirectory(prefix="fastcka-gpu-check-") as name:
        free, needed = shutil.disk_usage(name).free, GROUPS * workload.bytes
        if free < 1.2 * needed:
            raise TooLongError(f"it needs {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free")
        layers = {f"layer{i}": x.cpu().numpy() for i, x in enumerate(xs)}
        with create_store(Path(name) / "store") as store:
            # From the time for a twentieth follows that for the rest.
            some = dict(list(layers.items())[: max(1, len(layers) // 20)])
            _, trial = timed(partial(store.write, model="trial", step=0, layers=some))
            needed = trial * len(layers) / len(some) * GROUPS
            if needed > seconds:
                raise TooLongError(
                    f"writing it would take {needed:.0f} s, and {seconds:.0f} s are left"
                )
            writing = sum(
                timed(partial(store.write, model=MODEL, step=step, layers=layers))[1]
                for step in range(GROUPS)
            )
        del layers
        yield Path(name) / "store", writing


def read_groups(path, workload):
    """The arrays of each group; a thread reads the next group meanwhile."""
    from fastcka.store import Key, open_store, prefetch

    with open_store(path) as store:

        def load(step):
            return store.read_many([Key(MODEL, step, f"layer{i}") for i in range(workload.m)])

        for _, arrays in prefetch(range(GROUPS), load):
            yield arrays


def from_store(workload, xs, errors_in, *, seconds):
    """Seconds per group from the store, and of reading alone; or why it was not measured.

    `errors_in(comparison)` gives the errors.
    """
    try:
        with written_store(workload, xs, seconds=seconds) as (path, writing):
            _, reading = timed(lambda: sum(1 for _ in read_groups(path, workload)))
            results, whole = timed(lambda: list(comparisons(read_groups(path, workload), "cuda")))
    except TooLongError as error:
        return {"skipped": str(error)}
    provenance = results[-1].provenance
    return {
        "median": whole / GROUPS,
        "groups": GROUPS,
        "seconds_per_group": whole / GROUPS,
        "seconds_per_group_reading_alone": reading / GROUPS,
        "bytes_per_second": GROUPS * workload.bytes / whole,
        "seconds_to_write": writing,
        "ran": {name: provenance[name] for name in ("device", "route", "products", "tile")},
        "errors": errors_in(results[-1]),
    }
