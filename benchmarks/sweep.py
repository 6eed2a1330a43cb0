"""A sweep as a user runs it: a process of `fastcka run`, from a store to results.csv."""

from __future__ import annotations

import csv
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks import data, reference
from benchmarks.clock import timed
from benchmarks.process import ROOT, ContestantError, environment

#: The first models, whose pairs are checked against float64 in every layer.
CHECKED = 4
TOLERANCE = 1e-6
#: Timings in run.json; reading and computing are parts of compute.
LAPS = ("plan", "compute", "reading", "computing", "export", "figures")
#: Contestants of the suite that are this command.
NAMES = ("fastcka run, cold", "fastcka run, warm")
CONFIG = """\
store: store
output: results
compare: {within: [layer]}
"""


def write_store(path, workload):
    """Write a store with `workload.groups` layers of each model."""
    from fastcka import create_store

    with create_store(path) as store:
        for model, arrays in enumerate(zip(*_layers(workload), strict=True)):
            named = {f"layer{layer}": x for layer, x in enumerate(arrays)}
            store.write(model=f"model{model:03}", step=0, layers=named)


def checked_arrays(workload):
    """For each layer, the arrays of the models whose pairs are checked."""
    return [list(itertools.islice(layer, CHECKED)) for layer in _layers(workload)]


def _layers(workload):
    m, n, d = workload.m, workload.n, workload.d
    return [data.representations(m, n, d, seed) for seed in range(workload.groups)]


def from_store(workload, settings, scratch, progress, results):
    """Put figures of the sweep with the files in the page cache (warm) and without (cold)."""
    folder = Path(scratch) / "sweep"
    folder.mkdir()
    progress.now("writing the store of the sweep")
    write_store(folder / "store", workload)
    (folder / "sweep.yaml").write_text(CONFIG, encoding="utf-8")
    exact = [reference.cka_matrix(arrays, "unbiased") for arrays in checked_arrays(workload)]
    for name in NAMES:
        progress.now(name)
        try:
            runs = []
            for _ in range(min((settings.repeats + 1) // 2, 3)):
                if name.endswith("cold"):
                    forget(folder / "store")
                runs.append(_run(folder, settings))
                error = checked_results(folder / "results" / "results.csv", workload, exact)
            reads = [_reading(folder / "store", name, settings) for _ in range(2)]
        except (ContestantError, subprocess.CalledProcessError) as error:
            results[name] = {"failed": str(error)}
            progress.say(f"  {name}: {error}")
        else:
            reading = statistics.median(reads)
            results[name] = {**_summary(runs), "error": error, "reading": reading}
            progress.say(f"  {name}: right, error {error:.0e}; {results[name]['time']:.2f} s")
    shutil.rmtree(folder)


def forget(folder):
    """Write the files' pages to the disk and drop them from the operating system's cache."""
    for path in folder.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _run(folder, settings):
    """One run without earlier results: seconds to results.csv and to the end, laps, peak memory."""
    shutil.rmtree(folder / "results", ignore_errors=True)
    time.sleep(settings.pause)
    start, began = time.perf_counter(), time.time()
    child = subprocess.Popen(
        [
            *(sys.executable, "-m", "fastcka", "run", "sweep.yaml", "--device", "cpu"),
            *("--threads", str(settings.threads)),
        ],
        cwd=folder,
        env=environment(settings.threads),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C reaches only the suite
    )
    try:
        messages = child.stderr.read()
        _, status, usage = os.wait4(child.pid, 0)
    except BaseException:
        child.kill()
        child.wait()
        raise
    child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    if child.returncode != 0:
        raise ContestantError(
            f"fastcka run ended with {child.returncode}: {messages.strip()[-300:]}"
        )
    record = json.loads((folder / "results" / "run.json").read_text("utf-8"))
    results = (folder / "results" / "results.csv").stat().st_mtime - began
    laps = {name: record["timings"][name] for name in LAPS}
    return {
        "seconds": results,
        "whole": seconds,
        **laps,
        "peak_bytes": usage.ru_maxrss * 1024,
    }


def _summary(runs):
    """Medians; `other` is the share of the time to results.csv that is not reading or computing."""
    medians = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    return {
        "seconds": [run["seconds"] for run in runs],
        "time": medians["seconds"],
        "laps": {name: medians[name] for name in LAPS},
        "whole": medians["whole"],
        "other": statistics.median(
            1 - (run["reading"] + run["computing"]) / run["seconds"] for run in runs
        ),
        "peak_bytes": int(medians["peak_bytes"]),
    }


def checked_results(results, workload, exact):
    """The largest error of the checked pairs; `ContestantError` if rows or values are wrong."""
    errors, rows = [], 0
    with open(results, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            rows += 1
            a, b = (int(row[f"model_{side}"].removeprefix("model")) for side in "ab")
            if max(a, b) < CHECKED:
                layer = int(row["layer"].removeprefix("layer"))
                errors.append(abs(float(row["cka_unbiased"]) - exact[layer][a, b]))
    expected = workload.groups * CHECKED * (CHECKED - 1) // 2
    if (rows, len(errors)) != (workload.pairs, expected):
        raise ContestantError(
            f"results.csv has {rows} rows and {len(errors)} of the checked pairs; "
            f"expected {workload.pairs} and {expected}"
        )
    if not max(errors) <= TOLERANCE:
        raise ContestantError(f"wrong by {max(errors):.1g}: not timed")
    return max(errors)


def _reading(store, name, settings):
    """Seconds to read all representations in a separate process."""
    if name.endswith("cold"):
        forget(store)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.sweep", str(store)],
        cwd=ROOT,
        env=environment(settings.threads),
        capture_output=True,
        text=True,
        check=True,
        start_new_session=True,
    )
    return float(done.stdout)


def main():
    """Read a store; print the seconds."""
    from fastcka import open_store

    with open_store(sys.argv[1]) as store:
        keys = list(store.keys())
        read = (float(np.float32(store.read(key)[0, 0])) for key in keys)
        total, seconds = timed(lambda: sum(read))
    assert np.isfinite(total)
    print(seconds)


if __name__ == "__main__":
    main()
