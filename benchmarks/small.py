"""Small calls: `fastcka.cka` beside NumPy in one process, its first call, and its import."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

import numpy as np

from benchmarks.process import ROOT, environment

SIZES = ((30, 64), (50, 64), (100, 64), (300, 64), (1000, 64), (100, 8), (100, 512))
ROUNDS = 500
#: Of one row; it ends the rounds.
SECONDS = 1.0
#: Processes in which a first call and an import are timed.
STARTS = 7

START = """
import json, time
import numpy as np
start = time.perf_counter()
import fastcka
imported = time.perf_counter()
x, y = np.random.default_rng(0).standard_normal((2, 100, 64))
before = time.perf_counter()
fastcka.cka(x, y)
print(json.dumps([imported - start, time.perf_counter() - before]))
"""


def numpy_biased(x, y):
    """Biased CKA from the features."""
    x, y = x - x.mean(0), y - y.mean(0)
    norm = np.linalg.norm
    return norm(x.T @ y) ** 2 / (norm(x.T @ x) * norm(y.T @ y))


def numpy_unbiased(x, y):
    """Unbiased CKA from the features and the squared norms of the examples."""
    x, y = x - x.mean(0), y - y.mean(0)
    n, k, q = len(x), (x * x).sum(1), (y * y).sum(1)

    def hsic(x, y, k, q):
        pairs = np.linalg.norm(x.T @ y) ** 2 - k @ q
        return pairs - 2 / (n - 2) * (k @ q) + k.sum() * q.sum() / ((n - 1) * (n - 2))

    return hsic(x, y, k, q) / np.sqrt(hsic(x, x, k, k) * hsic(y, y, q, q))


def small(settings, tell):
    """Median and least seconds of each size, estimator and dtype, and those of a new process."""
    import fastcka

    by_numpy = {"biased": numpy_biased, "unbiased": numpy_unbiased}
    rows = []
    for n, d in SIZES:
        for dtype in ("float32", "float64"):
            x, y = np.random.default_rng(0).standard_normal((2, n, d)).astype(dtype)
            for estimator, reference in by_numpy.items():
                seconds = _side_by_side(
                    {
                        "fastcka": lambda x=x, y=y, e=estimator: fastcka.cka(x, y, estimator=e),
                        "numpy": lambda x=x, y=y, f=reference: f(x, y),
                    }
                )
                rows.append({"n": n, "d": d, "dtype": dtype, "estimator": estimator, **seconds})
                tell(f"small: {rows[-1]}")
    return {"rows": rows, "start": _start(settings)}


def _side_by_side(calls):
    """Contestant -> its median and its least seconds; the calls alternate."""
    samples = {name: [] for name in calls}
    values = [call() for call in calls.values()]
    if abs(values[0] - values[1]) > 1e-4:
        return {"failed": f"the values differ: {values}"}
    end = time.perf_counter() + SECONDS
    for _ in range(ROUNDS):
        if time.perf_counter() > end:
            break
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            samples[name].append(time.perf_counter() - start)
    return {
        name: {"median": statistics.median(took), "least": min(took)}
        for name, took in samples.items()
    }


def _start(settings):
    """Seconds of the import after NumPy's, and of the first call, in new processes."""
    command = [sys.executable, "-c", START]
    pairs = [
        json.loads(subprocess.check_output(command, cwd=ROOT, env=environment(settings.threads)))
        for _ in range(STARTS)
    ]
    return {
        name: {"median": statistics.median(took), "least": min(took)}
        for name, took in zip(("import", "first call"), zip(*pairs, strict=True), strict=True)
    }
