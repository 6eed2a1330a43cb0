"""Small calls: `fastcka.cka` and NumPy in one process, the first call, and the import."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

from benchmarks.process import ROOT, environment

SIZES = ((30, 64), (50, 64), (100, 64), (300, 64), (1000, 64), (100, 8), (100, 512))
ROUNDS = 500
#: A row ends after this time.
SECONDS = 1.0
QUICK_SECONDS = 0.1
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


def small(settings, progress, results, *, quick=False):
    """Put the median and least seconds of each call, and of a start, into `results`."""
    import fastcka

    by_numpy = {"biased": numpy_biased, "unbiased": numpy_unbiased}
    rows = results.setdefault("rows", [])
    progress.part("small calls: fastcka.cka and NumPy", 4 * len(SIZES) + 1)
    for n, d in SIZES:
        for dtype in ("float32", "float64"):
            x, y = np.random.default_rng(0).standard_normal((2, n, d)).astype(dtype)
            for estimator, reference in by_numpy.items():
                progress.begin(f"n={n}, d={d}, {dtype}, {estimator}")
                seconds = _side_by_side(
                    {
                        "fastcka": lambda x=x, y=y, e=estimator: fastcka.cka(x, y, estimator=e),
                        "numpy": lambda x=x, y=y, f=reference: f(x, y),
                    },
                    QUICK_SECONDS if quick else SECONDS,
                )
                rows.append({"n": n, "d": d, "dtype": dtype, "estimator": estimator, **seconds})
                progress.done(_outcome(seconds))
    progress.begin("import and first call in new processes")
    results["start"] = _start(settings, 2 if quick else STARTS)
    progress.done("done")


def _outcome(seconds):
    if "failed" in seconds:
        return seconds["failed"]
    return ", ".join(f"{name} {1e6 * took['median']:.0f} us" for name, took in seconds.items())


def _side_by_side(calls, limit):
    """Contestant -> its median and its least seconds; the calls alternate."""
    samples = {name: [] for name in calls}
    values = [call() for call in calls.values()]
    if abs(values[0] - values[1]) > 1e-4:
        return {"failed": f"the values differ: {values}"}
    end = time.perf_counter() + limit
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


def _start(settings, repeats):
    """Seconds of the import after NumPy's, and of the first call, in new processes.

    The modules are imported from bytecode, as after an installation; a first process writes it.
    """
    command = [sys.executable, "-c", START]
    with tempfile.TemporaryDirectory() as folder:
        variables = {**environment(settings.threads), "PYTHONPYCACHEPREFIX": folder}
        variables.pop("PYTHONDONTWRITEBYTECODE", None)
        pairs = [
            json.loads(subprocess.check_output(command, cwd=ROOT, env=variables))
            for _ in range(repeats + 1)
        ][1:]
    return {
        name: {"median": statistics.median(took), "least": min(took)}
        for name, took in zip(("import", "first call"), zip(*pairs, strict=True), strict=True)
    }
