"""kill -9 at many moments of a run: the next run continues and gives the same table."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import numpy as np
import pytest

from fastcka.files import is_temporary
from fastcka.store import create_store
from fastcka.sweep import run_sweep

GROUPS = 8
RUNNER = """
import sys
from fastcka.core import flight
from fastcka.sweep import run_sweep

flight.MOST_GROUPS = int(sys.argv[2])

def report(event):
    print(event.kind, flush=True)
    sys.stdin.readline()  # waits for the test

run_sweep(sys.argv[1], on_event=report)
print("end", flush=True)
"""
# (events to wait for, seconds from the last one to the kill): before the first group, during groups
# and commits, and during the exports. The first event is "planned".
MOMENTS = [(0, 0.0), (1, 0.004), (2, 0.0), (4, 0.001), (5, 0.008), (8, 0.0), (9, 0.02), (9, 0.4)]


@pytest.fixture(scope="module")
def world(tmp_path_factory, but_for_seconds):
    """Write a store of 3 models x 8 layers and run its sweep undisturbed; return (folder, table).

    Each model has its rows in a different order, and a filter drops some.
    """
    folder = tmp_path_factory.mktemp("killed")
    rng = np.random.default_rng(11)
    with create_store(folder / "store") as store:
        for model in "abc":
            layers = {
                f"layer{layer}": rng.normal(size=(300, 24)).astype(np.float32)
                for layer in range(GROUPS)
            }
            ids = rng.permutation(300)
            store.write(model=model, step=0, layers=layers, example_ids=ids)
    undisturbed = run_sweep(_sweep(folder, "undisturbed"))
    assert undisturbed.groups_computed == GROUPS
    return folder, but_for_seconds(undisturbed.results_path)


def _sweep(folder, output, measures=("cka",)):
    path = folder / f"{output}.yaml"
    fields = "compare: {within: [layer]}\nexamples: id:^(?!1)\n"
    fields += f"measures: [{', '.join(measures)}]\n"
    path.write_text(f"store: store\noutput: {output}\n{fields}", "utf-8")
    return path


def _kill(sweep, events, delay, flight):
    """Kill a run ``delay`` seconds after ``events`` events; return the lines that it printed.

    ``flight`` is the number of groups that are computed and committed together.
    """
    command = [sys.executable, "-c", RUNNER, str(sweep), str(flight)]
    lines = []
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            for _ in range(events):
                lines.append(process.stdout.readline().strip())
                process.stdin.write("\n")
                process.stdin.flush()
            if not events:
                lines.append(process.stdout.readline().strip())
            time.sleep(delay)
        finally:
            process.kill()
        lines += process.stdout.read().split()
    return lines


@pytest.mark.parametrize("flight", [1, 3])
@pytest.mark.parametrize("moment", range(len(MOMENTS)))
def test_a_killed_run_is_finished_by_the_next(world, moment, flight, no_figures, but_for_seconds):
    folder, table = world
    name = f"killed{moment}-{flight}"
    sweep, output = _sweep(folder, name), folder / name
    lines = _kill(sweep, *MOMENTS[moment], flight)
    assert lines[0] == "planned"
    assert "end" not in lines
    finished = _finished(output)
    # The ledger contains every group that the run reported, and at most two more flights: the one
    # being reported and the one being written. A flight is committed as a whole.
    assert lines.count("computed") <= len(finished) <= lines.count("computed") + 2 * flight
    assert len(finished) in (*range(0, GROUPS, flight), GROUPS)

    events = []
    result = run_sweep(sweep, on_event=events.append)
    assert {event.group for event in events if event.kind == "reused"} == finished
    assert result.groups_reused == len(finished)
    assert result.groups_computed == GROUPS - len(finished)
    assert but_for_seconds(result.results_path) == table
    assert json.loads(result.run_path.read_text("utf-8"))["groups_reused"] == len(finished)
    leftovers = [path.name for path in output.rglob("*") if is_temporary(path.name)]
    assert leftovers == []


MEASURES = ("cka", "rbf_cka", "mutual_knn", "pwcca")
MEASURING_RUNNER = """
import sys
from fastcka.core import flight
from fastcka.core.measures import compute
from fastcka.sweep import run_sweep

flight.MOST_GROUPS = 1
compute_values = compute._values

def wait(text):
    print(text, flush=True)
    sys.stdin.readline()

def values(members, measure):
    wait(f"measuring {measure.name}")
    return compute_values(members, measure)

compute._values = values
run_sweep(sys.argv[1], on_event=lambda event: wait(event.kind))
print("end", flush=True)
"""


@pytest.mark.parametrize("last", ["measuring pwcca", "computed"])
def test_a_killed_run_with_measures_is_finished_by_the_next(
    world, last, no_figures, but_for_seconds
):
    folder, _ = world
    undisturbed = run_sweep(_sweep(folder, f"whole {last}", MEASURES))
    name = f"killed {last}"
    sweep, output = _sweep(folder, name, MEASURES), folder / name
    command = [sys.executable, "-c", MEASURING_RUNNER, str(sweep)]
    lines = []
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            while lines.count(last) < 3:
                lines.append(process.stdout.readline().strip())
                assert lines[-1], lines
                if lines.count(last) < 3:  # the third time, it waits until it is killed
                    process.stdin.write("\n")
                    process.stdin.flush()
        finally:
            process.kill()
    assert "end" not in lines
    finished = _finished(output)
    assert lines.count("computed") <= len(finished) < GROUPS
    if finished or last == "computed":
        # A group is committed with the 3 x 3 values of all its measures.
        with closing(sqlite3.connect(output / "ledger.sqlite")) as db:
            counts = db.execute("SELECT measure, count(*) FROM measures GROUP BY measure")
            assert dict(counts) == dict.fromkeys(MEASURES[1:], 9 * len(finished))

    result = run_sweep(sweep)
    assert result.groups_reused == len(finished)
    table = but_for_seconds(result.results_path)
    assert table == but_for_seconds(undisturbed.results_path)
    assert "pwcca_b" in table[0]


def _finished(output):
    """Return the names of the groups in the ledger, with plain SQL."""
    if not (output / "ledger.sqlite").exists():
        return set()
    with closing(sqlite3.connect(output / "ledger.sqlite")) as db:
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
        if "groups" not in tables:
            return set()
        rows = db.execute(
            "SELECT name, count(*) FROM groups JOIN similarities ON group_id = id GROUP BY id"
        ).fetchall()
    # A group is committed as a whole: 3 models have 6 cells, the diagonal included.
    assert {count for _, count in rows} <= {6}
    return {name for name, _ in rows}
