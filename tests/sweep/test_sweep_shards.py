"""Shards: divided evenly, run at the same time in one folder, and merged at the end."""

from __future__ import annotations

import csv
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import numpy as np
import pytest

from fastcka.errors import BusyFolderError, FailedGroupsError, InputError
from fastcka.store import Key
from fastcka.sweep import Shard, comparisons_held, plan_sweep, run_sweep
from fastcka.sweep.ledger.shards import divided
from fastcka.sweep.planning.folder import claimed_folder, shared_folder

COMMAND = "from fastcka.cli import main; main()"
PARTS = (Shard(1, 3), Shard(2, 3), Shard(3, 3))


def _positions(part):
    return [group.position for group in part]


# --- the division ------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 7, 40])
def test_a_division_is_complete_and_even(config_for, labelled_store, count):
    """Groups have 2 to 16 models; each part costs at most the mean plus one group."""
    rng = np.random.default_rng(3)
    keys = [
        Key(f"m{model}", 0, f"layer {layer}")
        for layer in range(20)
        for model in range(int(rng.integers(2, 17)))
    ]
    store = labelled_store(keys, {key.model: {} for key in keys})
    groups = plan_sweep(config_for(within=["layer"]), store).groups
    parts = divided(groups, count)
    assert len(parts) == count
    assert sorted(position for part in parts for position in _positions(part)) == list(range(20))
    assert all(_positions(part) == sorted(_positions(part)) for part in parts)
    # With 8 examples of 4 features, every group takes route G, whose cost is counted here.
    costs = [
        8 * 4 * len(g.representations) * (min(8, 4 * len(g.representations)) + 100 * 4)
        for g in groups
    ]
    loads = [sum(costs[position] for position in _positions(part)) for part in parts]
    assert max(loads) <= sum(costs) / count + max(costs)
    assert [_positions(part) for part in divided(groups[::-1], count)] == [
        _positions(part) for part in parts
    ]


@pytest.mark.parametrize("text", ["0/4", "5/4", "1/0", "4", "1/4/2", "-1/4", "a/b", "", "1 / 4"])
def test_a_malformed_shard_is_refused(text):
    with pytest.raises(InputError, match=r"shard: expected .*"):
        Shard.parse(text)


def test_a_shard_is_parsed_and_printed_alike():
    assert str(Shard.parse("2/4")) == "2/4"
    assert Shard.parse("2/4") == Shard(2, 4)


# --- running -----------------------------------------------------------------------------------


@pytest.fixture
def sweep(trained, config_for, no_figures):
    """2 variants x 2 layers x 2 steps: eight groups of three comparisons.

    Their cost is the reading of 40 examples of 9 float64 features (fc of b), 9 float32 (fc of a)
    or 5 float32 (conv), about 4, 2 and 1. 2 parts cost 8 and 8; 3 parts cost 6, 5 and 5.
    """
    return config_for(within=["layer", "step", "variant"])


@pytest.fixture
def undisturbed(sweep, tmp_path, but_for_seconds):
    whole = run_sweep(sweep.model_copy(update={"output": tmp_path / "undisturbed"}))
    return but_for_seconds(whole.results_path)


def _seconds(path):
    """Return group name -> seconds, with plain SQL."""
    with closing(sqlite3.connect(path)) as db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'groups'").fetchall():
            return {}  # killed before its first table
        return dict(
            db.execute("SELECT name, json_extract(provenance, '$.seconds') FROM groups").fetchall()
        )


def test_the_last_shard_writes_the_table_of_a_whole_run(sweep, undisturbed, but_for_seconds):
    results = [run_sweep(sweep, shard=part) for part in PARTS]
    assert [result.written for result in results] == [False, False, True]
    assert [result.groups_waiting for result in results] == [5, 3, 0]
    assert [result.groups_computed for result in results] == [3, 2, 3]
    assert [result.ledger_path.name for result in results] == [
        f"ledger.{number}-of-3.sqlite" for number in (1, 2, 3)
    ]
    assert but_for_seconds(results[0].results_path) == undisturbed
    # Each row gives the seconds that its shard measured.
    measured = {}
    for result in results:
        measured |= _seconds(result.ledger_path)
    with results[0].results_path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            assert float(row["seconds"]) == measured[row["group"]]
    table = results[0].results_path.read_bytes()
    again = run_sweep(sweep)
    assert (again.groups_computed, again.groups_reused) == (0, 8)
    assert again.results_path.read_bytes() == table
    assert _seconds(again.ledger_path) == measured


def test_no_results_are_written_before_the_last_shard(sweep):
    first = run_sweep(sweep, shard=PARTS[0])
    assert sorted(path.name for path in first.output.iterdir()) == [
        *(".lock", ".lock.1-of-3", "ledger.1-of-3.sqlite")
    ]
    assert comparisons_held(plan_sweep(sweep)) == 9


def test_a_whole_run_reuses_the_shards_and_computes_the_rest(sweep, undisturbed, but_for_seconds):
    shard = run_sweep(sweep, shard=PARTS[1])
    whole = run_sweep(sweep)
    assert (whole.groups_computed, whole.groups_reused) == (6, 2)
    assert but_for_seconds(whole.results_path) == undisturbed
    shard.ledger_path.unlink()  # the ledger of the sweep contains its groups now
    table = whole.results_path.read_bytes()
    assert run_sweep(sweep).groups_computed == 0
    assert whole.results_path.read_bytes() == table
    late = run_sweep(sweep, shard=PARTS[0])
    assert (late.groups_computed, late.groups_reused, late.written) == (0, 3, True)
    assert whole.results_path.read_bytes() == table


def test_a_damaged_value_of_a_shard_is_computed_again(sweep, undisturbed, but_for_seconds):
    for part in PARTS[:2]:
        shard = run_sweep(sweep, shard=part)
    with closing(sqlite3.connect(shard.ledger_path)) as db, db:
        db.execute("UPDATE similarities SET cka_unbiased = 0.5 WHERE group_id = 1")
    assert comparisons_held(plan_sweep(sweep)) == 12
    whole = run_sweep(sweep)
    assert (whole.groups_computed, whole.groups_reused) == (4, 4)
    assert but_for_seconds(whole.results_path) == undisturbed


def test_another_division_computes_nothing_twice(sweep):
    first = run_sweep(sweep, shard=Shard(1, 2))
    assert first.groups_computed == 4
    others = [run_sweep(sweep, shard=Shard(number, 4)) for number in (1, 2, 3, 4)]
    assert sum(result.groups_computed for result in others) == 4
    assert sum(result.groups_reused for result in others) == 4
    assert [result.written for result in others] == [False, False, False, True]


def test_a_shard_without_a_group_has_nothing_to_do(sweep):
    result = run_sweep(sweep, shard=Shard(9, 9))
    assert (result.groups_computed, result.groups_reused, result.groups_waiting) == (0, 0, 8)
    assert not result.written


def test_a_failed_group_does_not_stop_the_other_shards(sweep, monkeypatch):
    import fastcka.sweep.running.compute as module

    compare_many = module.compare_many

    def refuse_conv(flights, **options):
        def outcome(group):
            if group.labels[0]["layer"] == "conv":
                return InputError("a NaN")
            ((compared,),) = compare_many([module.GroupFlight([group])], **options)
            return compared

        for flight in flights:
            yield [outcome(group) for group in flight.groups]

    monkeypatch.setattr(module, "compare_many", refuse_conv)
    for part in (Shard(1, 2), Shard(2, 2)):
        with pytest.raises(FailedGroupsError, match=r"(?s)2 groups could not .*a NaN") as raised:
            run_sweep(sweep, shard=part)
        result = raised.value.result
        assert (result.groups_computed, len(result.failed), result.written) == (2, 2, False)
    assert not result.results_path.exists()
    monkeypatch.undo()
    result = run_sweep(sweep)
    assert (result.groups_computed, result.groups_reused) == (4, 4)


# --- at the same time --------------------------------------------------------------------------


def test_locks_of_shards_and_whole_runs(tmp_path):
    out, store = tmp_path / "out", tmp_path / "store"
    with shared_folder(out, store, "1-of-2"):
        with shared_folder(out, store, "2-of-2"), shared_folder(out, store, "2-of-3"):
            pass
        with pytest.raises(BusyFolderError, match=r"holds \.lock\.1-of-2"):
            shared_folder(out, store, "1-of-2").__enter__()
        with pytest.raises(BusyFolderError, match=r"another run .*holds \.lock\)"):
            claimed_folder(out, store).__enter__()
    with claimed_folder(out, store), pytest.raises(BusyFolderError, match=r"holds \.lock\)"):
        shared_folder(out, store, "1-of-2").__enter__()
    with claimed_folder(out, store):
        pass


def test_a_finished_shard_does_not_wait_for_the_writer_of_the_results(sweep):
    for part in PARTS:
        run_sweep(sweep, shard=part)
    with claimed_folder(sweep.output, sweep.store):
        result = run_sweep(sweep, shard=PARTS[0])
    assert (result.groups_computed, result.groups_reused, result.written) == (0, 3, False)
    assert result.groups_waiting == 0


def _yaml(folder, output):
    path = folder / f"{output}.yaml"
    compare = "{within: [layer, step, variant]}"
    path.write_text(f"store: store\noutput: {output}\ncompare: {compare}\n", "utf-8")
    return path


def test_shards_at_the_same_time(trained, tmp_path, undisturbed, but_for_seconds):
    path = _yaml(tmp_path, "together")
    commands = [
        [sys.executable, "-c", COMMAND, "run", str(path), "--shard", f"{number}/3"]
        for number in (1, 2, 3)
    ]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for command in commands
    ]
    outputs = [process.communicate(timeout=120) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert [err for _, err in outputs] == ["", "", ""]
    # In whichever order they end, one of them writes the results.
    assert but_for_seconds(tmp_path / "together" / "results.csv") == undisturbed
    kept = [len(_seconds(p)) for p in sorted((tmp_path / "together").glob("ledger.*-of-3.sqlite"))]
    assert kept == [3, 2, 3]


SLOW = """
import sys, time
from fastcka.core import flight
from fastcka.sweep import Shard, run_sweep

flight.MOST_GROUPS = 1

def report(event):
    print(event.kind, flush=True)
    if event.kind == "computed":
        time.sleep(0.3)

run_sweep(sys.argv[1], shard=Shard.parse(sys.argv[2]), on_event=report)
"""


@pytest.mark.parametrize(("events", "delay"), [(1, 0.002), (2, 0.0), (4, 0.31)])
def test_killed_shards_are_finished_by_a_run(
    trained, tmp_path, undisturbed, but_for_seconds, events, delay
):
    """kill -9 of both halves, each ``delay`` seconds after ``events`` events."""
    path = _yaml(tmp_path, "killed")
    lines = []
    for shard in ("1/2", "2/2"):
        command = [sys.executable, "-c", SLOW, str(path), shard]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            lines += [process.stdout.readline().strip() for _ in range(events)]
            time.sleep(delay)
            process.kill()
            lines += process.stdout.read().split()
    before = {}
    for ledger in (tmp_path / "killed").glob("ledger.*-of-2.sqlite"):
        if ledger.stat().st_size:
            before |= _seconds(ledger)
    # In each shard, the writer may have committed at most two groups that are not reported yet.
    assert lines.count("computed") <= len(before) <= lines.count("computed") + 4
    result = run_sweep(path)
    assert (result.groups_computed, result.groups_reused) == (8 - len(before), len(before))
    assert but_for_seconds(result.results_path) == undisturbed
    assert _seconds(result.ledger_path).items() >= before.items()
