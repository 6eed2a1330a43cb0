"""A sweep from store to table: its numbers, its record, and a second run."""

from __future__ import annotations

import json
import sqlite3

import numpy as np
import pytest

from fastcka.core import Comparison
from fastcka.store import create_store
from fastcka.sweep import load_sweep
from sweep.runs import kinds_of, rows_of, textbook


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
    rows = rows_of(result)
    # 2 variants x 2 layers x 3 pairs of seeds.
    assert len(rows) == result.comparisons == 12
    seen = set()
    for row in rows:
        a, b = ((row[f"model_{s}"], int(row[f"step_{s}"]), row[f"layer_{s}"]) for s in "ab")
        seen.add(frozenset((a, b)))
        for name, (cka, hsic) in textbook(trained[a], trained[b]).items():
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
        *["feature_corrected", "null_mean", "null_sd", "z"],
        *["undefined", "device", "route", "precision", "seconds"],
    ]


@pytest.mark.usefixtures("no_figures")
def test_float64_data_keep_all_digits(tmp_path, config_for, run):
    """Features of 1 + 1e-9 z are constant in float32."""
    rng = np.random.default_rng(0)
    with create_store(tmp_path / "store") as store:
        xs = [1 + 1e-9 * rng.normal(size=(30, 4)) for _ in range(2)]
        for model, x in zip("ab", xs, strict=True):
            store.write(model=model, step=0, layers={"l": x})
    (row,) = rows_of(run(config_for(precision="float64", estimator="biased")))
    centered = [(x - x.mean(axis=0)) * 1e9 for x in xs]
    assert float(row["cka"]) == pytest.approx(textbook(*centered)["biased"][0], abs=1e-6)


def test_a_second_run_computes_nothing_and_writes_the_same(trained, config_for, run, events):
    config = config_for(within=["layer"], differ=["model"], steps="final_common")
    first = run(config)
    table = first.results_path.read_bytes()
    assert (first.groups_computed, first.groups_reused) == (2, 0)
    assert kinds_of(events) == ["planned", "computed", "computed"]
    figure_times = [path.stat().st_mtime_ns for path in first.figures]
    second = run(config)
    assert (second.groups_computed, second.groups_reused) == (0, 2)
    assert kinds_of(events) == ["planned", "reused", "reused"]
    assert second.results_path.read_bytes() == table
    assert [path.stat().st_mtime_ns for path in second.figures] == figure_times
    record = json.loads(second.run_path.read_text(encoding="utf-8"))
    assert [group["status"] for group in record["groups"]] == ["reused", "reused"]


@pytest.mark.usefixtures("no_figures")
def test_another_comparison_of_the_same_data_computes_nothing(trained, config_for, run):
    within = {"within": ["layer"], "steps": "final_each"}
    run(config_for(**within))
    result = run(config_for(differ=["variant", "seed"], estimator="biased", **within))
    assert (result.groups_computed, result.groups_reused) == (0, 2)
    rows = rows_of(result)
    assert len(rows) == 2 * 6
    for row in rows:
        a, b = ((row[f"model_{s}"], int(row[f"step_{s}"]), row[f"layer_{s}"]) for s in "ab")
        expected = textbook(trained[a], trained[b])["biased"][0]
        assert float(row["cka"]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.usefixtures("no_figures")
def test_changed_data_are_computed_again_and_reported(trained, config_for, run, events, tmp_path):
    config = config_for(within=["layer", "variant"], steps="final_each")
    before = rows_of(run(config))
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
        for old, now in zip(before, rows_of(result), strict=True)
        if old["cka"] != now["cka"]
    ]
    assert len(changed) == 2
    assert all("b_1" in row and row[2] == "fc" for row in changed)
    expected = textbook(trained["b_2", 90, "fc"], new)["unbiased"][0]
    (row,) = (
        r
        for r in rows_of(result)
        if (r["model_a"], r["model_b"], r["layer"]) == ("b_1", "b_2", "fc")
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
    rows = {row["model_a"] + row["model_b"]: row for row in rows_of(result)}
    assert result.undefined == 2
    assert rows["ab"]["cka"] == rows["bc"]["cka"] == "nan"
    assert rows["ab"]["undefined"].startswith("b: zero variance")
    assert rows["bc"]["undefined"].startswith("a: zero variance")
    assert rows["ac"]["undefined"] == ""
    assert np.isfinite(float(rows["ac"]["cka"]))
    assert any("model 'b', step 0, layer 'l': zero variance" in note for note in result.notes)
    again = run(config_for(within=["layer"]))
    assert again.groups_computed == 0
    assert {r["model_a"] + r["model_b"]: r for r in rows_of(again)} == rows


@pytest.mark.usefixtures("no_figures")
def test_tiny_data_have_a_cka_though_their_hsic_is_zero(tmp_path, config_for, run):
    rng = np.random.default_rng(5)
    base = rng.normal(size=(12, 3))
    with create_store(tmp_path / "store") as store:
        for model, scale in (("a", 1e-100), ("b", 1.0)):
            store.write(model=model, step=0, layers={"l": base * scale})
    (row,) = rows_of(run(config_for(precision="float64")))
    assert float(row["cka"]) == pytest.approx(1, abs=1e-9)


def test_matrices_load_as_comparisons(trained, config_for, run):
    result = run(config_for(within=["layer", "variant"], differ=["seed"], steps="final_each"))
    record = json.loads(result.run_path.read_text(encoding="utf-8"))
    rows = rows_of(result)
    for group in record["groups"]:
        loaded = Comparison.load(result.output / group["matrix"])
        group_rows = [row for row in rows if row["group"] == group["name"]]
        assert len(group_rows) == len(loaded.pairs) == 3
        for row, (a, b) in zip(group_rows, loaded.pairs, strict=True):
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
def test_paths_in_a_yaml_file_are_relative_to_it(trained, tmp_path, run, monkeypatch):
    text = "store: store\noutput: out\ncompare: {within: [layer], steps: final_each}\n"
    (tmp_path / "sweep.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir("/")
    result = run(tmp_path / "sweep.yaml")
    assert result.results_path == tmp_path / "out" / "results.csv"
    assert load_sweep(tmp_path / "sweep.yaml").output == tmp_path / "out"


@pytest.mark.usefixtures("no_figures")
def test_progress_rises_to_the_total(trained, config_for, run):
    calls = []
    run(config_for(within=["layer"]), progress=lambda done, total: calls.append((done, total)))
    done = [call[0] for call in calls]
    assert done == sorted(done)
    assert len({total for _, total in calls}) == 1
    assert calls[-1][0] == calls[-1][1]
