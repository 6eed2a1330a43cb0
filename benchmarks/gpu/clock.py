"""Time on a GPU: calls that wait for their result, and work between two events.

Without a GPU, on torch's CPU, both are wall time, so that what uses them can be tested there.
"""

from __future__ import annotations

import statistics
import time
from itertools import pairwise

import torch

#: A measurement is repeated for so long.
SECONDS = 1.5


def synchronize(device):
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def wall_seconds(call, device):
    """Of one call, with all work that it starts."""
    synchronize(device)
    start = time.perf_counter()
    call()
    synchronize(device)
    return time.perf_counter() - start


def device_seconds(call, device, times=1):
    """Of what one call enqueues on torch's current stream, by events; the mean of ``times``."""
    if torch.device(device).type != "cuda":
        return wall_seconds(lambda: [call() for _ in range(times)], device) / times
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(times):
        call()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1e3 / times


def stage_seconds(stages, device):
    """Of calls that are enqueued one after another, each."""
    if torch.device(device).type != "cuda":
        return [wall_seconds(call, device) for call in stages]
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(len(stages) + 1)]
    marks[0].record()
    for call, mark in zip(stages, marks[1:], strict=True):
        call()
        mark.record()
    marks[-1].synchronize()
    return [begin.elapsed_time(end) / 1e3 for begin, end in pairwise(marks)]


def repeated(measure, *, warmup=3, least=5, most=50, share=1.0):
    """Samples of ``measure()`` in seconds after warm-up: their median, least, most and number.

    Three calls warm up: a pass runs plainly at first, then captures its graph, then replays it. One
    call does for what takes long, and three samples.
    """
    limit = SECONDS * share
    slow = measure() > limit
    if slow:
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
