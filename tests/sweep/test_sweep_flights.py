"""Groups that are computed and committed together: their table, seconds and errors."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing

import numpy as np
import pytest

from fastcka.core import flight as flight_module
from fastcka.errors import DeviceError, LedgerError
from fastcka.store import create_store
from fastcka.sweep import plan_sweep, run_sweep
from fastcka.sweep.ledger import ledger as ledger_module
from fastcka.sweep.ledger.writer import LedgerWriter
from fastcka.sweep.planning.flights import flights_of
from fastcka.sweep.planning.memory import LIBRARY_BYTES

pytestmark = pytest.mark.usefixtures("no_figures")

GROUPS = 10


@pytest.fixture
def config(tmp_path, config_for):
    """Return a sweep of ten small groups: 3 models, 10 layers of 5 to 14 features."""
    rng = np.random.default_rng(5)
    with create_store(tmp_path / "store") as store:
        for model in "abc":
            layers = {f"l{layer}": rng.normal(size=(70, 5 + layer)) for layer in range(GROUPS)}
            store.write(model=model, step=0, layers=layers)
    return config_for(within=["layer"])


def groups_in(path):
    with closing(sqlite3.connect(path)) as db:
        return {name for (name,) in db.execute("SELECT name FROM groups")}


def computed(events):
    return [event.group for event in events if event.kind == "computed"]


@pytest.mark.parametrize("most", [3, 256])
def test_flights_give_the_table_of_single_groups(config, monkeypatch, but_for_seconds, most):
    monkeypatch.setattr(flight_module, "MOST_GROUPS", 1)
    alone = but_for_seconds(run_sweep(config).results_path)
    monkeypatch.setattr(flight_module, "MOST_GROUPS", most)
    events = []
    output = config.output.with_name("together")
    together = run_sweep(config.model_copy(update={"output": output}), on_event=events.append)
    assert but_for_seconds(together.results_path) == alone
    assert computed(events) == [f"layer=l{layer}" for layer in range(GROUPS)]


def test_a_flight_is_one_transaction(config, monkeypatch):
    monkeypatch.setattr(flight_module, "MOST_GROUPS", 4)
    commits = []
    commit = ledger_module.Ledger.commit

    def counted(self, entries, precision):
        commits.append(len(entries))
        commit(self, entries, precision)

    monkeypatch.setattr(ledger_module.Ledger, "commit", counted)
    run_sweep(config)
    assert commits == [4, 4, 2]


def test_the_seconds_of_groups_add_up_to_no_more_than_the_run(config, monkeypatch):
    monkeypatch.setattr(flight_module, "MOST_GROUPS", 4)
    record = json.loads(run_sweep(config).run_path.read_text("utf-8"))
    seconds = [group["seconds"] for group in record["groups"]]
    assert min(seconds) > 0
    assert sum(seconds) <= record["timings"]["compute"]
    passes = [group["provenance"]["seconds"] for group in record["groups"]]
    # Within a flight, they are proportional to the seconds of the passes.
    for first in (0, 4):
        shares = np.divide(seconds[first : first + 4], passes[first : first + 4])
        np.testing.assert_allclose(shares, shares[0])


def test_a_large_group_is_computed_alone(config, monkeypatch):
    groups = plan_sweep(config).groups
    sizes = [flight_module.bytes_of_group(group.pass_plan) for group in groups]
    assert max(sizes[:6]) < sizes[6] < min(sizes[7:])
    monkeypatch.setattr(flight_module, "SMALL_BYTES", sizes[6])
    names = [[int(group.name[-1]) for group in flight] for flight in flights_of(groups, 8)]
    assert names == [[0, 1, 2, 3, 4, 5, 6], [7], [8], [9]]
    mixed = [groups[index] for index in (0, 9, 1, 2)]
    assert [len(flight) for flight in flights_of(mixed, 8)] == [1, 1, 2]


def test_the_predicted_memory_counts_two_flights_and_their_passes(config, monkeypatch):
    monkeypatch.setattr("fastcka.sweep.planning.memory.bytes_of_heatmap", lambda count: 0)
    plan = plan_sweep(config, threads=2)
    loaded = [3 * 70 * (5 + layer) * 8 for layer in range(GROUPS)]  # float64
    # One flight takes all arrays and results, and the memory of two threads.
    needs = [
        group.pass_plan.bytes_centered + group.pass_plan.bytes_workspace for group in plan.groups
    ]
    results = [2 * 3 * 70 * 8 + 2 * 9 * 8] * GROUPS
    matrix = 9 * 8
    values = 4 * matrix * GROUPS + 14 * matrix  # of all groups, and the estimates of one
    needed = sum(loaded) + 2 * max(needs) + sum(results) + values
    assert plan.bytes_memory == LIBRARY_BYTES + needed
    monkeypatch.setattr(flight_module, "MOST_GROUPS", 1)
    assert plan.bytes_memory == LIBRARY_BYTES + max(
        loaded[index]
        + (loaded[index + 1] if index + 1 < GROUPS else 0)
        + needs[index]
        + results[index]
        + 14 * matrix
        # Two earlier groups may wait for the ledger, one of them in a transaction.
        + (4 * min(index, 2) + 8 * (index > 0)) * matrix
        for index in range(GROUPS)
    )


class FullLedger(ledger_module.Ledger):
    """A ledger on a disk with little room."""

    def __init__(self, path):
        super().__init__(path)
        (pages,) = self._db.execute("PRAGMA page_count").fetchone()
        self._db.execute(f"PRAGMA max_page_count = {pages + 1}")


@pytest.mark.parametrize("most", [1, 3])
def test_a_full_disk_ends_the_run(config, monkeypatch, most):
    monkeypatch.setattr(flight_module, "MOST_GROUPS", most)
    monkeypatch.setattr("fastcka.sweep.ledger.writer.Ledger", FullLedger)
    events = []
    with pytest.raises(
        LedgerError, match=r"ledger\.sqlite: database or disk is full; check .*, then run again"
    ):
        run_sweep(config, on_event=events.append)
    kept = groups_in(config.output / "ledger.sqlite")
    assert set(computed(events)) <= kept
    assert 0 < len(kept) < GROUPS
    assert len(kept) % most == 0  # whole flights
    assert not (config.output / "results.csv").exists()
    monkeypatch.undo()
    result = run_sweep(config)
    assert (result.groups_computed, result.groups_reused) == (GROUPS - len(kept), len(kept))


def test_computed_groups_are_committed_when_an_error_ends_the_run(config, monkeypatch):
    monkeypatch.setattr(flight_module, "MOST_GROUPS", 1)
    from fastcka.sweep.running import compute

    compare_many = compute.compare_many

    def fails(flights, **options):
        for number, outcomes in enumerate(compare_many(flights, **options)):
            if number == 3:
                raise DeviceError("gone")
            yield outcomes

    monkeypatch.setattr(compute, "compare_many", fails)
    commit = ledger_module.Ledger.commit

    def slowly(self, entries, precision):
        time.sleep(0.2)
        commit(self, entries, precision)

    monkeypatch.setattr(ledger_module.Ledger, "commit", slowly)
    with pytest.raises(DeviceError, match="gone"):
        run_sweep(config)
    assert groups_in(config.output / "ledger.sqlite") == {"layer=l0", "layer=l1", "layer=l2"}


def write(path, flights, *, finish=False, error=None):
    with LedgerWriter(path, "high") as writer:
        for _ in range(flights):
            writer.put([(None, None)])
        if finish:
            writer.finish()
        if error is not None:
            raise error


def test_an_error_of_the_writer_is_always_raised(tmp_path):
    missing = tmp_path / "absent" / "ledger.sqlite"
    with pytest.raises(LedgerError, match="unable to open"):
        write(missing, 1)
    with pytest.raises(LedgerError, match="unable to open"):
        write(missing, 1, finish=True)
    with pytest.raises(LedgerError, match="unable to open"):
        write(missing, 10)  # more than the queue holds: a failed writer blocks nobody
    with pytest.raises(DeviceError, match="gone") as raised:
        write(missing, 1, error=DeviceError("gone"))
    (note,) = raised.value.__notes__
    assert "not in the ledger" in note
    assert "unable to open" in note
