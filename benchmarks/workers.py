"""A sweep by two local Dask workers and by one process; then with workers killed at random.

The sweep has 7,812 comparisons: 63 models, 4 layers, 4,413 examples of 256 random features. All
files are in the page cache. Each run is a command in a separate process. Every table is compared
with that of one process before a time is printed: all cells but the seconds must be equal. The
ledger must contain each group once. The store takes 1.2 GB of disk.

    python benchmarks/workers.py [--models 63] [--examples 4413] [--kills 10] [--folder DIR]

Needs the extra [cluster].
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))  # for a script, Python adds only its folder

from fastcka.store import create_store

LAYERS, FEATURES = 4, 256
VARIANTS = {"one process": [], "2 workers": ["--workers", "2"]}


class Times(NamedTuple):
    """Seconds of a command, of computing with the start of workers, and of all processors."""

    command: float
    computing: float
    processors: float


def write_store(path, models, examples):
    rng = np.random.default_rng(0)
    base = rng.standard_normal((examples, FEATURES), np.float32)
    with create_store(path) as store:
        for model in range(models):
            layers = {
                f"layer{layer}": base + rng.standard_normal((examples, FEATURES), np.float32)
                for layer in range(LAYERS)
            }
            store.write(
                model=f"m{model:02d}",
                step=0,
                layers=layers,
                example_ids=[f"e{i}" for i in range(examples)],
            )


def cells(path):
    """Return a table without its seconds."""
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    column = header.index("seconds")
    return [row[:column] + row[column + 1 :] for row in (header, *rows)]


def run(folder, name, options, kill_after=None):
    """Run the sweep; return its table, its times, and whether a worker was killed.

    kill -9 one worker some seconds after the workers are connected.
    """
    output = folder / name
    shutil.rmtree(output, ignore_errors=True)
    sweep = folder / f"{name}.yaml"
    sweep.write_text(f"store: store\noutput: {name}\ncompare: {{within: [layer]}}\n", "utf-8")
    command = [sys.executable, "-m", "fastcka", "run", str(sweep), *options]
    start, cpu = time.perf_counter(), _cpu_of_children()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        killed = None
        if kill_after is not None:
            process.stderr.readline()  # the workers are there
            killed = kill_worker(process.pid, kill_after)
        _, messages = process.communicate()
    seconds = time.perf_counter() - start
    if process.returncode:
        sys.exit(f"{' '.join(command)}: exit status {process.returncode}\n{messages.decode()}")
    with closing(sqlite3.connect(output / "ledger.sqlite")) as db:
        names = [name for (name,) in db.execute("SELECT name FROM groups")]
    if sorted(names) != [f"layer=layer{layer}" for layer in range(LAYERS)]:
        sys.exit(f"{name}: the ledger has the groups {names}")
    timings = json.loads((output / "run.json").read_text("utf-8"))["timings"]
    times = Times(seconds, timings["compute"], _cpu_of_children() - cpu)
    return cells(output / "results.csv"), times, killed


def _cpu_of_children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def kill_worker(parent, seconds):
    """Kill a worker after some seconds. Return whether one was left."""
    time.sleep(seconds)
    alive = workers_of(parent)
    if not alive:
        return False
    os.kill(random.choice(alive), signal.SIGKILL)
    return True


def workers_of(parent):
    try:
        children = psutil.Process(parent).children(recursive=True)
        return [child.pid for child in children if "spawn_main" in " ".join(child.cmdline())]
    except psutil.Error:
        return []


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=63)
    parser.add_argument("--examples", type=int, default=4413)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    random.seed(options.seed)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="fastcka-workers-"))
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "store").exists():
        write_store(folder / "store", options.models, options.examples)
    expected = None
    times = {name: [] for name in VARIANTS}
    for _ in range(options.repeats):
        for name, arguments in VARIANTS.items():
            table, taken, _ = run(folder, name.replace(" ", "-"), arguments)
            expected = expected or table
            if table != expected:
                sys.exit(f"{name}: another table")
            times[name].append(taken)
    print("seconds:       command   with workers   processors   (least of each)")
    for name, taken in times.items():
        least = [min(column) for column in zip(*taken, strict=True)]
        print(f"{name:13s}" + "".join(f"{number:12.1f}" for number in least), flush=True)
    print(f"{len(expected) - 1:,} comparisons, all tables equal", flush=True)
    span = min(taken.computing for taken in times["2 workers"])
    number = 0
    while number < options.kills:
        moment = random.uniform(0, span)
        table, taken, killed = run(folder, "killed", VARIANTS["2 workers"], moment)
        if table != expected:
            sys.exit(f"killed after {moment:.1f} s: another table")
        if killed:
            number += 1
            print(
                f"kill {number:2d}: after {moment:4.1f} s; the command took {taken.command:.1f} s; "
                f"table equal, each of {LAYERS} groups once in the ledger",
                flush=True,
            )
        else:
            span = moment  # the workers had ended


if __name__ == "__main__":
    main()
