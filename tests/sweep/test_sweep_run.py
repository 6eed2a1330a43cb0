"""A sweep from store to table: the numbers, the resume, and what a run says."""

from __future__ import annotations

import csv
import json
import sqlite3
import sys

import h5py
import numpy as np
import pytest

import oracle
from fastcka.core import Comparison
from fastcka.errors import DeviceError, FailedGroupsError, FastckaError, InputError
from fastcka.store import create_store
from fastcka.sweep import load_sweep, run_sweep


def _textbook(x, y):
    """{estimator: (cka, hsic)} by the definitions."""
    return {
        "biased": (oracle.cka(x, y, "biased"), oracle.hsic_biased(x, y)),
        "unbiased": (oracle.cka(x, y, "unbiased"), oracle.hsic_unbiased(x, y)),
    }


def _rows(result):
    with result.results_path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def events():
    return []


@pytest.fixture
def run(events):
    """Run a sweep, with its events kept in ``events`` (emptied first)."""

    def call(config, **options):
        events.clear()
        return run_sweep(config, on_event=events.append, **options)

    return call


def _kinds(events):
    return [event.kind for event in events]


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
@pytest.mark.parametrize("precision", ["high", "float64"])
def test_every_value_equals_the_definition(trained, config_for, run, estimator, precision):
    config = config_for(
        within=["layer", "variant"],
        differ=["seed"],
        steps="final_each",
        estimator=estimator,
        precision=precision,
    )
    result = run(config)
    rows = _rows(result)
    # 2 variants x 2 layers x 3 pairs of seeds.
    assert len(rows) == result.comparisons == 12
    seen = set()
    for row in rows:
        a, b = ((row[f"model_{s}"], int(row[f"step_{s}"]), row[f"layer_{s}"]) for s in "ab")
        seen.add(frozenset((a, b)))
        for name, (cka, hsic) in _textbook(trained[a], trained[b]).items():
            assert float(row[f"cka_{name}"]) == pytest.approx(cka, abs=1e-6)
            assert float(row[f"hsic_{name}"]) == pytest.approx(hsic, rel=1e-5)
        assert row["cka"] == row[f"cka_{estimator}"]
        assert row["estimator"] == estimator
        assert row["precision"] == precision
        assert (row["n_examples"], row["n_dropped"], row["dropped"]) == ("40", "0", "")
        assert float(row["seconds"]) > 0
        assert row["undefined"] == ""
        assert row["device"] == "cpu"
        assert row["route"] in ("F", "G")
        assert row["layer_a"] == row["layer_b"] == row["layer"]
        assert row["variant_a"] == row["variant_b"] == row["variant"]
        assert row["seed_a"] != row["seed_b"]
        assert json.loads(row["tasks_a"]) == [row["variant"], "shared"]
        assert row["group"] == f"layer={row['layer']}, variant={row['variant']}"
    assert len(seen) == 12
    assert {(row["step_a"], row["step_b"]) for row in rows} == {("90", "90"), ("100", "100")}


@pytest.mark.usefixtures("no_figures")
def test_the_columns_of_the_table(trained, config_for, run):
    result = run(config_for(within=["step", "layer"], differ=["model"], steps=[0]))
    header = result.results_path.read_text(encoding="utf-8").splitlines()[0].split(",")
    assert header == [
        *["group", "step", "layer"],
        *["model_a", "step_a", "layer_a", "model_b", "step_b", "layer_b"],
        *["seed_a", "seed_b", "tasks_a", "tasks_b", "variant_a", "variant_b"],
        *["n_examples", "n_dropped", "dropped"],
        *["estimator", "cka", "cka_biased", "cka_unbiased", "hsic_biased", "hsic_unbiased"],
        *["undefined", "device", "route", "precision", "seconds"],
    ]


@pytest.mark.usefixtures("no_figures")
def test_float64_data_lose_no_digit(tmp_path, config_for, run):
    """Features of 1 + 1e-9 z are constant in float32."""
    rng = np.random.default_rng(0)
    with create_store(tmp_path / "store") as store:
        xs = [1 + 1e-9 * rng.normal(size=(30, 4)) for _ in range(2)]
        for model, x in zip("ab", xs, strict=True):
            store.write(model=model, step=0, layers={"l": x})
    (row,) = _rows(run(config_for(precision="float64", estimator="biased")))
    centered = [(x - x.mean(axis=0)) * 1e9 for x in xs]
    assert float(row["cka"]) == pytest.approx(_textbook(*centered)["biased"][0], abs=1e-6)


def test_a_second_run_computes_nothing_and_writes_the_same(trained, config_for, run, events):
    config = config_for(within=["layer"], differ=["model"], steps="final_common")
    first = run(config)
    table = first.results_path.read_bytes()
    assert (first.groups_computed, first.groups_reused) == (2, 0)
    assert _kinds(events) == ["planned", "computed", "computed"]
    figure_times = [path.stat().st_mtime_ns for path in first.figures]
    second = run(config)
    assert (second.groups_computed, second.groups_reused) == (0, 2)
    assert _kinds(events) == ["planned", "reused", "reused"]
    assert second.results_path.read_bytes() == table
    assert [path.stat().st_mtime_ns for path in second.figures] == figure_times
    record = json.loads(second.run_path.read_text(encoding="utf-8"))
    assert [group["status"] for group in record["groups"]] == ["reused", "reused"]


@pytest.mark.usefixtures("no_figures")
def test_another_question_of_the_same_data_computes_nothing(trained, config_for, run):
    within = {"within": ["layer"], "steps": "final_each"}
    run(config_for(**within))
    result = run(config_for(differ=["variant", "seed"], estimator="biased", **within))
    assert (result.groups_computed, result.groups_reused) == (0, 2)
    rows = _rows(result)
    assert len(rows) == 2 * 6
    for row in rows:
        a, b = ((row[f"model_{s}"], int(row[f"step_{s}"]), row[f"layer_{s}"]) for s in "ab")
        expected = _textbook(trained[a], trained[b])["biased"][0]
        assert float(row["cka"]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.usefixtures("no_figures")
def test_changed_data_are_computed_again_and_said(trained, config_for, run, events, tmp_path):
    config = config_for(within=["layer", "variant"], steps="final_each")
    before = _rows(run(config))
    new = np.random.default_rng(3).normal(size=(40, 9))
    with create_store(tmp_path / "store", exist_ok=True) as store:
        store.write(
            model="b_1",
            step=90,
            layers={"conv": trained["b_1", 90, "conv"], "fc": new},
            example_ids=[f"image {row}" for row in range(40)],
            factors={"variant": "b", "seed": 1, "tasks": ["b", "shared"]},
            overwrite=True,
        )
    result = run(config)
    assert (result.groups_computed, result.groups_reused) == (1, 3)
    assert [e.group for e in events if e.kind == "recomputing"] == ["layer=fc, variant=b"]
    assert "data or examples have changed" in result.notes[0]
    changed = [
        (old["model_a"], old["model_b"], old["layer"])
        for old, now in zip(before, _rows(result), strict=True)
        if old["cka"] != now["cka"]
    ]
    assert len(changed) == 2
    assert all("b_1" in row and row[2] == "fc" for row in changed)
    expected = _textbook(trained["b_2", 90, "fc"], new)["unbiased"][0]
    (row,) = (
        r for r in _rows(result) if (r["model_a"], r["model_b"], r["layer"]) == ("b_1", "b_2", "fc")
    )
    assert float(row["cka"]) == pytest.approx(expected, abs=1e-6)
    with sqlite3.connect(result.ledger_path) as db:  # the old values are gone with their data
        assert db.execute("SELECT count(*) FROM groups").fetchone() == (4,)
    db.close()


@pytest.mark.usefixtures("no_figures")
def test_a_representation_without_variance_is_nan_with_a_reason(tmp_path, config_for, run):
    rng = np.random.default_rng(1)
    with create_store(tmp_path / "store") as store:
        for model in "abc":
            x = np.full((10, 3), 2.0) if model == "b" else rng.normal(size=(10, 3))
            store.write(model=model, step=0, layers={"l": x.astype(np.float32)})
    result = run(config_for(within=["layer"]))
    rows = {row["model_a"] + row["model_b"]: row for row in _rows(result)}
    assert result.undefined == 2
    assert rows["ab"]["cka"] == rows["bc"]["cka"] == "nan"
    assert rows["ab"]["undefined"].startswith("b: zero variance")
    assert rows["bc"]["undefined"].startswith("a: zero variance")
    assert rows["ac"]["undefined"] == ""
    assert np.isfinite(float(rows["ac"]["cka"]))
    assert any("model 'b', step 0, layer 'l': zero variance" in note for note in result.notes)
    again = run(config_for(within=["layer"]))
    assert again.groups_computed == 0
    assert {r["model_a"] + r["model_b"]: r for r in _rows(again)} == rows


@pytest.mark.usefixtures("no_figures")
def test_tiny_data_have_a_cka_though_their_hsic_is_zero(tmp_path, config_for, run):
    rng = np.random.default_rng(5)
    base = rng.normal(size=(12, 3))
    with create_store(tmp_path / "store") as store:
        for model, scale in (("a", 1e-100), ("b", 1.0)):
            store.write(model=model, step=0, layers={"l": base * scale})
    (row,) = _rows(run(config_for(precision="float64")))
    assert float(row["cka"]) == pytest.approx(1, abs=1e-9)


def test_matrices_load_as_comparisons(trained, config_for, run):
    result = run(config_for(within=["layer", "variant"], differ=["seed"], steps="final_each"))
    record = json.loads(result.run_path.read_text(encoding="utf-8"))
    rows = _rows(result)
    for group in record["groups"]:
        loaded = Comparison.load(result.output / group["matrix"])
        own = [row for row in rows if row["group"] == group["name"]]
        assert len(own) == len(loaded.pairs) == 3
        for row, (a, b) in zip(own, loaded.pairs, strict=True):
            assert loaded.labels[a]["model"] == row["model_a"]
            assert loaded.labels[b]["model"] == row["model_b"]
            assert repr(float(loaded.cka[a, b])) == row["cka"]
        assert (result.output / group["figure"]).read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("no_figures")
def test_the_record_of_a_run(trained, config_for, run):
    result = run(config_for(within=["layer"], steps="final_each", select={"variant": "a"}))
    record = json.loads(result.run_path.read_text(encoding="utf-8"))
    assert record["plan"]["comparisons"] == result.comparisons == 6
    assert record["plan"]["dropped"] == result.dropped
    assert record["config"]["select"] == {"variant": ["a"]}
    assert set(record["versions"]) == {"fastcka", "numpy", "h5py", "python"}
    assert record["versions"]["numpy"] == np.__version__
    assert record["groups_computed"] == 2
    timings = record["timings"]
    laps = ("plan", "compute", "export", "figures")
    assert set(timings) == {*laps, "reading", "computing", "total"}
    assert sum(timings[lap] for lap in laps) == pytest.approx(timings["total"])
    assert min(timings.values()) > 0
    assert timings["reading"] + timings["computing"] < timings["compute"]
    for group in record["groups"]:
        assert group["seconds"] > 0
        assert group["provenance"]["device"] == "cpu"
        assert "threads" in group["provenance"]
        assert len(group["keys"]) == 3
    assert json.loads(json.dumps(result.to_dict()))["groups_computed"] == 2


@pytest.mark.usefixtures("no_figures")
def test_a_yaml_file_runs_with_paths_of_its_own(trained, tmp_path, run, monkeypatch):
    text = "store: store\noutput: out\ncompare: {within: [layer], steps: final_each}\n"
    (tmp_path / "sweep.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir("/")
    result = run(tmp_path / "sweep.yaml")
    assert result.results_path == tmp_path / "out" / "results.csv"
    assert load_sweep(tmp_path / "sweep.yaml").output == tmp_path / "out"


@pytest.mark.usefixtures("no_figures")
def test_progress_rises_to_the_end(trained, config_for, run):
    calls = []
    run(config_for(within=["layer"]), progress=lambda done, total: calls.append((done, total)))
    done = [call[0] for call in calls]
    assert done == sorted(done)
    assert len({total for _, total in calls}) == 1
    assert calls[-1][0] == calls[-1][1]


@pytest.mark.usefixtures("no_figures")
def test_ctrl_c_keeps_what_is_finished(trained, config_for, run, events):
    config = config_for(within=["layer", "step"], differ=["model"])

    def interrupt(event):
        events.append(event)
        if _kinds(events).count("computed") == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(config, on_event=interrupt)
    told = [event.group for event in events if event.kind == "computed"]
    events.clear()
    result = run(config)
    reused = [event.group for event in events if event.kind == "reused"]
    assert set(told) <= set(reused)
    assert result.groups_computed == len(result.figures) - len(reused)


@pytest.mark.usefixtures("no_figures")
def test_a_group_that_fails_does_not_stop_the_others(
    tmp_path, config_for, run, events, as_format_1_0
):
    """NaN in one model's layer "b", a flipped bit in another's "c": "a" and "d" are computed."""
    rng = np.random.default_rng(2)
    arrays = {(model, layer): rng.normal(size=(30, 4)) for model in "xyz" for layer in "abcd"}
    with create_store(tmp_path / "store") as store:
        for model in "xyz":
            layers = {layer: arrays[model, layer] for layer in "abcd"}
            store.write(model=model, step=0, layers=layers)
    for path in (tmp_path / "store" / "models").glob("y-*/*.h5"):
        as_format_1_0(path)  # its checksums would not let NaN in
    for model, layer, change in (("y", "b", _not_a_number), ("z", "c", _flip)):
        change(tmp_path / "store", model, arrays[model, layer])
    config = config_for(within=["layer"])
    for _ in range(2):  # the second run tries again, and finds the others in the ledger
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
        rows = _rows(result)
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
    assert len(_rows(mended)) == 12


def _not_a_number(store, model, x):
    """Write NaN with valid checksums, as a program that is none of ours might."""
    with h5py.File(next(store.rglob(f"{model}-*/0.h5")), "r+") as file:
        for layer in file["layers"].values():
            if np.array_equal(layer["x"][...], x):
                layer["x"][3, 1] = np.nan


def _flip(store, model, x):
    path = next(store.rglob(f"{model}-*/0.h5"))
    data = bytearray(path.read_bytes())
    data[data.index(x.tobytes())] ^= 1
    path.write_bytes(data)


def test_failed_groups_of_one_name_are_two(tmp_path, config_for, run, monkeypatch):
    """The text "1" and the number 1 are two values, and read alike."""
    with create_store(tmp_path / "store") as store:
        for model, seed in (("a", 1), ("b", 1), ("c", "1"), ("d", "1")):
            x = np.random.default_rng(ord(model)).normal(size=(8, 2))
            store.write(model=model, step=0, layers={"l": x}, factors={"seed": seed})

    def refuse(flights, **options):
        for groups in flights:
            yield [InputError(f"no {group.labels[0]['model']}") for group in groups]

    monkeypatch.setattr("fastcka.sweep.compute.compare_many", refuse)
    with pytest.raises(FailedGroupsError, match="2 groups could not") as raised:
        run(config_for(within=["seed"]))
    assert raised.value.result.failed == {"seed=1 (group 0)": "no a", "seed=1 (group 1)": "no c"}


def test_what_is_wrong_with_everything_stops_the_run(trained, config_for, run, monkeypatch, events):
    def refuse(flights, **options):
        raise DeviceError("no device")

    monkeypatch.setattr("fastcka.sweep.compute.compare_many", refuse)
    with pytest.raises(DeviceError, match="no device"):
        run(config_for(within=["layer"]))
    assert _kinds(events) == ["planned"]


@pytest.mark.parametrize(
    ("n_examples", "message"),
    [(40, "the store has changed since the plan was made"), (30, r"expected shape \(30, 5\)")],
)
def test_a_store_that_changes_under_the_run_is_noticed(
    trained, config_for, run, monkeypatch, n_examples, message
):
    """The values of new data must not enter the ledger under the digest of the old."""
    from fastcka.sweep.plan import plan_sweep

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

    monkeypatch.setattr("fastcka.sweep.run.plan_sweep", plan_then_change)
    with pytest.raises(FailedGroupsError, match=f"group 'layer=conv': .*{message}"):
        run(config_for(within=["layer"], steps="final_each"))


def test_without_matplotlib_a_run_succeeds_and_says_so(
    trained, config_for, run, events, monkeypatch
):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    config = config_for(within=["layer"], steps="final_each")
    result = run(config)
    assert result.figures == ()
    assert "no_figures" in _kinds(events)
    assert "matplotlib, which is not installed" in result.notes[-1]
    record = json.loads(result.run_path.read_text(encoding="utf-8"))
    assert "matplotlib, which is not installed" in record["figures_left_out"]
    assert len(_rows(result)) == result.comparisons
    monkeypatch.undo()
    assert len(run(config).figures) == 2


def test_an_unknown_store_is_an_error_before_anything_is_written(tmp_path, config_for, run):
    with pytest.raises(FastckaError):
        run(config_for())
    assert not (tmp_path / "out").exists()
