"""`fastcka run --workers`: the whole command, with workers of its own."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from fastcka.store import create_store

pytest.importorskip("distributed")
psutil = pytest.importorskip("psutil")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workers")
    rng = np.random.default_rng(31)
    with create_store(folder / "store") as store:
        for model in range(6):
            layers = {f"layer{i}": rng.normal(size=(200, 20)).astype(np.float32) for i in range(4)}
            store.write(model=f"m{model}", step=0, layers=layers)
    return folder


def _start(folder, output, *options):
    sweep = folder / f"{output}.yaml"
    sweep.write_text(f"store: store\noutput: {output}\ncompare: {{within: [layer]}}\n", "utf-8")
    return subprocess.Popen(
        [sys.executable, "-m", "fastcka", "run", str(sweep), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _cells(folder, output):
    with (folder / output / "results.csv").open(encoding="utf-8", newline="") as file:
        return [
            {name: value for name, value in row.items() if name != "seconds"}
            for row in csv.DictReader(file)
        ]


def _workers(process):
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def test_workers_of_the_command(folder):
    alone = _start(folder, "alone")
    assert alone.communicate(timeout=300)[1] == ""
    process = _start(folder, "two", "--workers", "2", "--threads", "3")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    lines = err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(
        "Dask computes 2 tasks at a time, each with 3 threads; dashboard: http://127.0.0.1:"
    )
    assert "4 computed" in out
    assert len(_cells(folder, "alone")) == 60
    assert _cells(folder, "two") == _cells(folder, "alone")


def test_an_interrupt_stops_the_workers(folder):
    process = _start(folder, "interrupted", "--workers", "2")
    while not (workers := _workers(process)):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "interrupted; run the same command again to resume"
    assert "Traceback" not in err
    psutil.wait_procs(workers, timeout=60)
    assert not [worker for worker in workers if worker.is_running()]
