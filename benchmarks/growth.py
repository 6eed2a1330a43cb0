"""fastcka's measured and predicted seconds, as n, d, M or the threads grow.

Each shape is measured at both precisions, and predicted by two processes.
"""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path

from benchmarks.contestants import FASTCKA, FASTCKA_FAST
from benchmarks.predict import predictions
from benchmarks.process import ContestantError
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
CONTESTANTS = {"high": FASTCKA, "fast": FASTCKA_FAST}


def growth(settings, processes, scratch, progress, results, *, quick=False):
    """Put the points of each axis into `results`: measured and predicted seconds."""
    points = _points(settings.threads, QUICK_AXES if quick else AXES)
    every = [point for along in points.values() for point in along]
    progress.part("growth", len(every))
    results.update(base={"m": BASE.m, "n": BASE.n, "d": BASE.d}, axes=points)
    _predict(every, "predicted", settings.threads)
    for point in every:
        _measure(point, settings, processes, scratch, progress)
    _predict(every, "predicted_again", settings.threads)


def _points(threads, axes):
    """Axis -> its points; one axis is the threads. No figures yet."""
    bases = {
        axis: [(value, replace(BASE, **{axis: value}), threads) for value in values]
        for axis, values in axes.items()
    }
    larger = replace(BASE, n=1000 if axes is QUICK_AXES else 5000)
    bases["threads"] = [(value, larger, value) for value in range(1, threads + 1)]
    return {
        axis: [
            {"value": value, "m": base.m, "n": base.n, "d": base.d, "threads": used, "fast": {}}
            for value, base, used in along
        ]
        for axis, along in bases.items()
    }


def _predict(points, name, threads):
    """Put the predicted seconds of all points, made in one new process, into them."""
    shapes = [
        (point["n"], [point["d"]] * point["m"], point["threads"], precision)
        for point in points
        for precision in CONTESTANTS
    ]
    plans = iter(predictions(shapes, threads))
    for point in points:
        for figures in (point, point["fast"]):
            planned = next(plans)
            figures[name] = planned["seconds"]
            figures["route"] = planned["route"]


def _measure(point, settings, processes, scratch, progress):
    m, n, d, threads = (point[name] for name in ("m", "n", "d", "threads"))
    text = f"m={m} n={n} d={d} threads={threads}"
    progress.begin(text)
    workload = replace(BASE, m=m, n=n, d=d)
    path = Path(scratch) / "growth.npy"
    workload.write(path)
    exact = exact_from(path, workload)
    question = {"do": "load", "data": str(path), "m": m, "groups": 1, "distinct": 1}
    high = None
    for precision, contestant in CONTESTANTS.items():
        figures = point if precision == "high" else point["fast"]
        process = processes.get(contestant, threads=threads)
        try:
            answer = process.ask(question, settings.patience)["answer"]
            if answer == high:
                figures["refused"] = "the same bits as high"
                continue
            high = answer
            _time(figures, process, exact.error(answer, contestant.estimator), contestant, settings)
        except ContestantError as error:
            figures["failed"] = str(error)
        finally:
            processes.release(process)
    path.unlink()
    both = (
        (precision, point if precision == "high" else point["fast"]) for precision in CONTESTANTS
    )
    progress.done("; ".join(f"{name} {_outcome(figures)}" for name, figures in both))


def _time(figures, process, error, contestant, settings):
    figures["error"] = error
    if not error <= contestant.tolerance:
        raise ContestantError(f"wrong by {error:.1g}: not timed")
    figures["seconds"] = [
        process.seconds(settings.patience, settings.pause) for _ in range(REPEATS)
    ]
    figures["median"] = statistics.median(figures["seconds"])
    figures["ratio"] = figures["median"] / figures["predicted"]


def _outcome(figures):
    if "ratio" in figures:
        return f"{figures['median']:.3g} s, {figures['ratio']:.2f} of the prediction"
    return figures.get("refused") or figures["failed"]
