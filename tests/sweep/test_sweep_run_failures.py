"""Groups that fail, stores that change, and libraries that are missing during a run."""

from __future__ import annotations

import json
import sys

import h5py
import numpy as np
import pytest

import oracle
from fastcka.errors import DeviceError, FailedGroupsError, FastckaError, InputError
from fastcka.store import create_store
from fastcka.sweep import run_sweep
from sweep.runs import kinds_of, rows_of


@pytest.mark.usefixtures("no_figures")
def test_ctrl_c_keeps_finished_groups(trained, config_for, run, events):
    config = config_for(within=["layer", "step"], differ=["model"])

    def interrupt(event):
        events.append(event)
        if kinds_of(events).count("computed") == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(config, on_event=interrupt)
    computed = [event.group for event in events if event.kind == "computed"]
    events.clear()
    result = run(config)
    reused = [event.group for event in events if event.kind == "reused"]
    assert set(computed) <= set(reused)
    assert result.groups_computed == len(result.figures) - len(reused)


@pytest.mark.usefixtures("no_figures")
def test_a_group_that_fails_does_not_stop_the_others(
    tmp_path, config_for, run, events, as_format_1_0
):
    """Layer "b" contains NaN and layer "c" a flipped bit; "a" and "d" are computed."""
    rng = np.random.default_rng(2)
    arrays = {(model, layer): rng.normal(size=(30, 4)) for model in "xyz" for layer in "abcd"}
    with create_store(tmp_path / "store") as store:
        for model in "xyz":
            layers = {layer: arrays[model, layer] for layer in "abcd"}
            store.write(model=model, step=0, layers=layers)
    for path in (tmp_path / "store" / "models").glob("y-*/*.h5"):
        as_format_1_0(path)  # with checksums, the NaN would be reported as damage
    for model, layer, change in (("y", "b", _not_a_number), ("z", "c", _flip)):
        change(tmp_path / "store", model, arrays[model, layer])
    config = config_for(within=["layer"])
    for _ in range(2):  # the second run repeats the failed groups and reuses the others
        with pytest.raises(
            FailedGroupsError, match=r"(?s)2 groups .*'layer=b'.*'layer=c'"
        ) as raised:
            run(config)
        result = raised.value.result
        assert [e.group for e in events if e.kind == "failed"] == ["layer=b", "layer=c"]
        assert list(result.failed) == ["layer=b", "layer=c"]
        assert "1 NaN" in result.failed["layer=b"]
        assert "checksum" in result.failed["layer=c"]
        record = json.loads(result.run_path.read_text(encoding="utf-8"))
        assert record["failed"] == result.failed
        assert [group["name"] for group in record["groups"]] == ["layer=a", "layer=d"]
        rows = rows_of(result)
        assert len(rows) == 6
        for row in rows:
            sides = (arrays[row["model_a"], row["layer"]], arrays[row["model_b"], row["layer"]])
            assert row["layer"] in "ad"
            assert float(row["cka"]) == pytest.approx(oracle.cka(*sides, "unbiased"), abs=1e-6)
    assert (result.groups_computed, result.groups_reused) == (0, 2)
    with create_store(tmp_path / "store", exist_ok=True) as store:
        for model in "yz":
            layers = {layer: arrays[model, layer] for layer in "abcd"}
            store.write(model=model, step=0, layers=layers, overwrite=True)
    mended = run(config)
    assert (mended.groups_computed, mended.groups_reused, mended.failed) == (2, 2, {})
    assert len(rows_of(mended)) == 12


def _not_a_number(store, model, x):
    """Write NaN with valid checksums, as another program might."""
    with h5py.File(next(store.rglob(f"{model}-*/0.h5")), "r+") as file:
        for layer in file["layers"].values():
            if np.array_equal(layer["x"][...], x):
                layer["x"][3, 1] = np.nan


def _flip(store, model, x):
    path = next(store.rglob(f"{model}-*/0.h5"))
    data = bytearray(path.read_bytes())
    data[data.index(x.tobytes())] ^= 1
    path.write_bytes(data)


def test_failed_groups_that_print_alike_are_numbered(tmp_path, config_for, run, monkeypatch):
    """The text "1" and the number 1 are two values that print alike."""
    with create_store(tmp_path / "store") as store:
        for model, seed in (("a", 1), ("b", 1), ("c", "1"), ("d", "1")):
            x = np.random.default_rng(ord(model)).normal(size=(8, 2))
            store.write(model=model, step=0, layers={"l": x}, factors={"seed": seed})

    def refuse(flights, **options):
        for flight in flights:
            yield [InputError(f"no {group.labels[0]['model']}") for group in flight.groups]

    monkeypatch.setattr("fastcka.sweep.running.compute.compare_many", refuse)
    with pytest.raises(FailedGroupsError, match="2 groups could not") as raised:
        run(config_for(within=["seed"]))
    assert raised.value.result.failed == {"seed=1 (group 0)": "no a", "seed=1 (group 1)": "no c"}


def test_an_error_of_the_device_stops_the_run(trained, config_for, run, monkeypatch, events):
    def refuse(flights, **options):
        raise DeviceError("no device")

    monkeypatch.setattr("fastcka.sweep.running.compute.compare_many", refuse)
    with pytest.raises(DeviceError, match="no device"):
        run(config_for(within=["layer"]))
    assert kinds_of(events) == ["planned"]


@pytest.mark.parametrize(
    ("n_examples", "message"),
    [(40, "the store has changed since the plan was made"), (30, r"expected shape \(30, 5\)")],
)
def test_a_store_that_changes_during_a_run_is_detected(
    trained, config_for, run, monkeypatch, n_examples, message
):
    """Values of new data must not enter the ledger under the old digest."""
    from fastcka.sweep.planning.plan import plan_sweep

    def plan_then_change(config, store, **options):
        plan = plan_sweep(config, store, **options)
        with create_store(config.store, exist_ok=True) as writable:
            writable.write(
                model="a_1",
                step=100,
                layers={
                    "conv": np.zeros((n_examples, 5), np.float32),
                    "fc": np.zeros((n_examples, 9), np.float32),
                },
                factors={"variant": "a", "seed": 1, "tasks": ["a", "shared"]},
                overwrite=True,
            )
        return plan

    monkeypatch.setattr("fastcka.sweep.running.run.plan_sweep", plan_then_change)
    with pytest.raises(FailedGroupsError, match=f"group 'layer=conv': .*{message}"):
        run(config_for(within=["layer"], steps="final_each"))


def test_without_matplotlib_a_run_succeeds_and_notes_it(
    trained, config_for, run, events, monkeypatch
):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    config = config_for(within=["layer"], steps="final_each")
    result = run(config)
    assert result.figures == ()
    assert "no_figures" in kinds_of(events)
    assert "matplotlib, which is not installed" in result.notes[-1]
    record = json.loads(result.run_path.read_text(encoding="utf-8"))
    assert "matplotlib, which is not installed" in record["figures_left_out"]
    assert len(rows_of(result)) == result.comparisons
    monkeypatch.undo()
    assert len(run(config).figures) == 2


def test_an_unknown_store_is_an_error_before_anything_is_written(tmp_path, config_for, run):
    with pytest.raises(FastckaError):
        run(config_for())
    assert not (tmp_path / "out").exists()
