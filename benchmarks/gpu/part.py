"""A part of `gpu_check.py`, and the sizes of all parts."""

from __future__ import annotations

import time
from dataclasses import dataclass

from benchmarks.clock import on_gpu
from benchmarks.workloads import GPU, Workload


@dataclass(frozen=True)
class Sizes:
    """What the parts measure.

    Attributes
    ----------
    workloads
        Name -> workload of the races and of the lengths of sums.
    chained, chains
        The workloads for lengths of sums, and the lengths: examples, or entries of a Gram tile.
    calls
        Shapes (M, n, d) at which Python takes most of a call.
    copies
        Arrays that are copied to the GPU, and the shape of each.
    sweep
        The sweep, whose store is also read alone.
    small
        Many small groups.
    threads
        Numbers of threads that read and copy; those that the machine does not have are left out.
    bytes_moved
        By each of the rates.
    """

    workloads: dict[str, Workload]
    chained: tuple[str, ...]
    chains: tuple[int, ...]
    calls: tuple[tuple[int, int, int], ...]
    copies: tuple[int, tuple[int, int]]
    sweep: Workload
    small: Workload
    threads: tuple[int, ...] = (1, 2, 4, 8, 16)
    bytes_moved: int = 1 << 30


FULL = Sizes(
    workloads=GPU,
    chained=("A", "B", "C"),  # D takes too long
    chains=(4096, 2048, 1024, 512, 256, 128),
    calls=tuple((m, 512, 64) for m in (21, 84, 252)),
    copies=(16, (16384, 1024)),
    sweep=Workload("sweep", "63 models, 4 layers", 63, 4413, 256, groups=4),
    small=Workload("small", "200 small groups", 9, 500, 256, groups=200),
)


def _tiny(name, m, n, d, **changes):
    return Workload(name, f"A tiny {name}", m, n, d, against="gpu", **changes)


TINY = Sizes(
    workloads={
        name: _tiny(name, 3, 64, d, predicted={"float16x3": 1e-3})
        for name, d in (("A", 80), ("B", 16), ("C", 80), ("D", 16))
    },
    chained=("A", "B"),
    chains=(32,),
    calls=((2, 64, 8), (3, 64, 8)),
    copies=(3, (64, 32)),
    sweep=_tiny("sweep", 5, 120, 16, groups=2),
    small=_tiny("small", 2, 40, 8, groups=3),
    threads=(1, 2),
    bytes_moved=1 << 16,
)


class Part:
    """The measurements of a part: each is in the file at once, and none starts when time is over.

    Parameters
    ----------
    record
        The `Record` of the part.
    device
        Of torch's tensors: "cuda", or "cpu" in a rehearsal.
    """

    def __init__(self, record, *, device="cuda", until=float("inf")):
        self.record = record
        self.device = device
        self.until = until

    def measure(self, name, call, *arguments):
        """Put what `call` returns, or why there is nothing."""
        if time.monotonic() > self.until:
            self.record.put(name, {"skipped": "the time for this part is over"})
        else:
            self.record.measure(name, lambda: call(*arguments))
        self.release()

    def release(self):
        """Free the memory that torch and cupy keep, so that the other can have it."""
        if on_gpu(self.device):
            import cupy
            import torch

            torch.cuda.empty_cache()
            cupy.get_default_memory_pool().free_all_blocks()
