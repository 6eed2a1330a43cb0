"""How every call of the suite is timed, on the CPU and on a GPU.

On a GPU, a call lasts until the work that it started is done, and work can be timed between two
events. With device "cpu" both are wall time, so that the GPU's benchmarks can be tested without
one. torch is imported only for a GPU.
"""

from __future__ import annotations

import statistics
import time
from itertools import pairwise

#: `repeated` goes on for this many seconds.
SECONDS = 1.5


def on_gpu(device):
    """Whether a device, by name or as torch's object, is a GPU."""
    return str(device).startswith("cuda")


def synchronize(device):
    """Wait until a GPU has done all work."""
    if on_gpu(device):
        import torch

        torch.cuda.synchronize(device)


def timed(call, device="cpu"):
    """What a call returns, and its wall time in seconds."""
    synchronize(device)
    start = time.perf_counter()
    result = call()
    synchronize(device)
    return result, time.perf_counter() - start


def wall_seconds(call, device="cpu"):
    """Wall time of one call, with all work that it starts."""
    return timed(call, device)[1]


def device_seconds(call, device, times=1):
    """Time on the device of one call's work, by events on torch's current stream.

    It is the mean of `times` calls in a row.
    """

    def calls():
        for _ in range(times):
            call()

    return stage_seconds([calls], device)[0] / times


def stage_seconds(stages, device):
    """Time on the device of each of several calls, which are enqueued one after another."""
    if not on_gpu(device):
        return [wall_seconds(call) for call in stages]
    import torch

    marks = [torch.cuda.Event(enable_timing=True) for _ in range(len(stages) + 1)]
    marks[0].record()
    for call, mark in zip(stages, marks[1:], strict=True):
        call()
        mark.record()
    marks[-1].synchronize()
    return [begin.elapsed_time(end) / 1e3 for begin, end in pairwise(marks)]


def repeated(measure, *, warmup=3, least=5, most=50, share=1.0):
    """Median, minimum, maximum and number of the samples of `measure()`, in seconds.

    Three calls warm up: a pass first runs plainly, then captures its graph, then replays it. A
    slow call warms up once and is sampled three times.
    """
    limit = SECONDS * share
    if measure() > limit:
        least = min(3, least)
    else:
        for _ in range(warmup - 1):
            measure()
    samples = []
    while len(samples) < least or (sum(samples) < limit and len(samples) < most):
        samples.append(measure())
    return {
        "median": statistics.median(samples),
        "least": min(samples),
        "most": max(samples),
        "samples": len(samples),
    }
