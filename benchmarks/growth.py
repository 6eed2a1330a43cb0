"""fastcka's measured and predicted seconds, as n, d, M or the threads grow."""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path

from benchmarks.by_fastcka import plan
from benchmarks.contestants import FASTCKA
from benchmarks.process import ContestantError, Process
from benchmarks.reference import exact_from
from benchmarks.workloads import Workload

REPEATS = 3
BASE = Workload("growth", "Growth", 21, 2000, 128)
AXES = {
    "n": (500, 1000, 2000, 5000, 10000, 20000, 50000),
    "d": (16, 64, 128, 512, 1024, 4096),
    "m": (2, 5, 21, 63, 126, 252),
}
QUICK_AXES = {"n": (500, 1000, 2000), "d": (16, 128), "m": (2, 21)}


def growth(settings, scratch, tell, *, quick=False):
    """Axis -> its points, each with measured and predicted seconds; one axis is the threads."""
    axes = QUICK_AXES if quick else AXES
    points = {
        axis: [
            _point(replace(BASE, **{axis: value}), value, settings.threads, settings, scratch, tell)
            for value in values
        ]
        for axis, values in axes.items()
    }
    larger = replace(BASE, n=1000 if quick else 5000)
    points["threads"] = [
        _point(larger, threads, threads, settings, scratch, tell)
        for threads in range(1, settings.threads + 1)
    ]
    return {"base": {"m": BASE.m, "n": BASE.n, "d": BASE.d}, "axes": points}


def _point(workload, value, threads, settings, scratch, tell):
    m, n, d = workload.m, workload.n, workload.d
    planned = plan(n, [d] * m, threads)
    point = {"value": value, "m": m, "n": n, "d": d, "threads": threads}
    point |= {"predicted": planned["seconds"], "route": planned["route"]}
    path = Path(scratch) / "growth.npy"
    workload.write(path)
    question = {"do": "load", "data": str(path), "m": m, "groups": 1, "distinct": 1}
    try:
        with Process(FASTCKA.name, threads=threads) as process:
            answer = process.ask(question, settings.patience)["answer"]
            point["error"] = exact_from(path, workload).error(answer, FASTCKA.estimator)
            if not point["error"] <= FASTCKA.tolerance:
                raise ContestantError(f"wrong by {point['error']:.1g}: not timed")
            point["seconds"] = [process.seconds(settings.patience) for _ in range(REPEATS)]
            point["median"] = statistics.median(point["seconds"])
            point["ratio"] = point["median"] / point["predicted"]
            tell(
                f"growth: m={m} n={n} d={d} threads={threads}: {point['median']:.4g} s, "
                f"{point['ratio']:.2f} of the prediction"
            )
    except ContestantError as error:
        point["failed"] = str(error)
        tell(f"growth: m={m} n={n} d={d} threads={threads}: {error}")
    path.unlink()
    return point
