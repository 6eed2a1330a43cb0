"""A whole sweep, as `fastcka run` computes it, on each device."""

from __future__ import annotations

import csv
import json
import shutil
import time
from pathlib import Path

import yaml

from benchmarks import reference
from benchmarks.gpu.program import run_program
from benchmarks.gpu.reads import shared_store
from benchmarks.gpu.rehearsal import program
from benchmarks.sweep import LAPS, checked_arrays, checked_results

#: Device -> runs. The files are in the page cache.
RUNS = {"cuda": 2, "auto": 1, "cpu": 1}


def measure_sweeps(part, sizes, scratch):
    """Put seconds to results.csv, laps, rates and errors of each device."""
    workload, folder = sizes.sweep, Path(scratch)
    store = shared_store(scratch, workload)
    exact = [reference.cka_matrix(arrays, "unbiased") for arrays in checked_arrays(workload)]
    for device, runs in RUNS.items():
        part.measure(
            device, _fastest, folder / f"sweep-{device}", store, device, workload, exact, runs
        )


def _fastest(folder, store, device, workload, exact, runs):
    """The fastest of several runs."""
    measured = [_run(folder, store, device, workload, exact) for _ in range(runs)]
    fastest = min(measured, key=lambda run: run["median"])
    return fastest | {"all_seconds": [run["median"] for run in measured]}


def _run(folder, store, device, workload, exact):
    """One run without earlier results."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    question = {
        "store": str(store),
        "output": str(folder / "results"),
        "compare": {"within": ["layer"]},
    }
    (folder / "sweep.yaml").write_text(yaml.safe_dump(question), encoding="utf-8")
    command = program("fastcka", "run", folder / "sweep.yaml", "--device", device)
    started, start = time.time(), time.perf_counter()
    status, output = run_program(command, 120, folder / "output.txt")
    whole = time.perf_counter() - start
    if status != 0:
        raise RuntimeError(f"fastcka run ended with {status}: {output.strip()[-500:]}")
    results = folder / "results" / "results.csv"
    error = checked_results(results, workload, exact)
    timings = json.loads((folder / "results" / "run.json").read_text("utf-8"))["timings"]
    with results.open(newline="", encoding="utf-8") as file:
        devices = sorted({row["device"] for row in csv.DictReader(file)})
    size = workload.groups * workload.bytes
    return {
        "median": results.stat().st_mtime - started,
        "whole": whole,
        "laps": {name: timings[name] for name in LAPS},
        "bytes_per_second": size / timings["compute"],
        "share_of_waiting_for_reads": timings["reading"] / timings["compute"],
        "error": error,
        "devices": devices,
    }
