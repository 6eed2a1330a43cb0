"""``results.parquet`` has the rows of ``results.csv`` with types."""

from __future__ import annotations

import csv
import json
import sys

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from fastcka.store import create_store
from fastcka.sweep import run_sweep
from fastcka.sweep.ledger.shards import Shard
from fastcka.sweep.results.table import cell, uncell

pytestmark = pytest.mark.usefixtures("no_figures")
FACTORS = {
    "m0": {"seed": 0, "rate": 1, "tasks": ["a", "b"], "deep": True, "note": "=x", "mixed": 1},
    "m1": {"seed": 1, "rate": 0.1, "tasks": [], "deep": False, "note": "", "mixed": "one"},
    "m2": {"seed": 2, "rate": 2, "deep": True, "note": None, "mixed": 2**80},
}


@pytest.fixture
def store(tmp_path, rng):
    with create_store(tmp_path / "store") as store:
        for model, factors in FACTORS.items():
            for step in (0, 10):
                x = rng.standard_normal((12, 3))
                layers = {"a": x, "b": x if model != "m1" else np.ones((12, 2))}
                store.write(model=model, step=step, layers=layers, factors=factors)
    return tmp_path / "store"


def table_of(result):
    return parquet.read_table(result.output / "results.parquet")


def csv_rows(result):
    with result.results_path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def as_cells(table):
    """Return a table as cells of results.csv; None, which has no type there, is an empty cell."""
    rows = [[cell(name) for name in table.column_names]]
    columns = [column.to_pylist() for column in table.columns]
    return rows + [
        ["" if value is None else cell(value) for value in values]
        for values in zip(*columns, strict=True)
    ]


@pytest.mark.parametrize("inference", [None, True])
def test_the_rows_are_those_of_the_csv_file(store, config_for, inference):
    result = run_sweep(config_for(within=["layer", "step"], inference=inference))
    table = table_of(result)
    expected = csv_rows(result)
    header = expected[0]
    got = as_cells(table)
    assert got[0] == header
    assert len(got) == len(expected) == 1 + 12
    for row, values in zip(expected[1:], got[1:], strict=True):
        for name, text, value in zip(header, row, values, strict=True):
            if name.startswith(("rate", "mixed")) or text == "null":
                continue  # below
            assert value == text, name


def test_types(store, config_for):
    table = table_of(run_sweep(config_for(within=["layer", "step"])))
    types = dict(zip(table.column_names, table.schema.types, strict=True))
    text, whole, real = pa.string(), pa.int64(), pa.float64()
    expected = {"group": text, "step": whole, "layer": text, "model_a": text, "step_b": whole}
    expected |= {"seed_a": whole, "rate_b": real, "tasks_a": text, "deep_a": pa.bool_()}
    expected |= {"note_a": text, "mixed_a": text, "n_examples": whole, "n_dropped": whole}
    expected |= {"cka": real, "hsic_biased": real, "z": real, "undefined": text, "seconds": real}
    assert {name: types[name] for name in expected} == expected
    rows = [row for row in table.to_pylist() if row["layer"] == "a" and row["step"] == 0]
    first = {"m0": rows[0], "m1": rows[2]}
    assert {model: row["model_a"] for model, row in first.items()} == {"m0": "m0", "m1": "m1"}
    assert [row["rate_a"] for row in first.values()] == [1.0, 0.1]
    assert [row["mixed_a"] for row in first.values()] == ["1", "one"]
    assert [row["note_a"] for row in first.values()] == ["=x", ""]
    assert uncell(cell("=x")) == "=x"
    assert [row["tasks_a"] for row in first.values()] == ['["a", "b"]', "[]"]
    last = rows[2]
    assert (last["model_b"], last["tasks_b"], last["note_b"]) == ("m2", None, None)
    assert last["mixed_b"] == str(2**80)


def test_undefined_values_are_nan_and_not_null(store, config_for):
    table = table_of(run_sweep(config_for(within=["layer", "step"])))
    rows = [row for row in table.to_pylist() if row["layer"] == "b" and "m1" in row["model_a"]]
    assert rows
    assert all(np.isnan(row["cka"]) and "zero variance" in row["undefined"] for row in rows)
    assert table["cka"].null_count == 0


def test_many_groups_in_several_row_groups(store, config_for, monkeypatch):
    monkeypatch.setattr("fastcka.sweep.results.parquet._ROWS_AT_ONCE", 4)
    result = run_sweep(config_for(within=["layer", "step"]))
    file = parquet.ParquetFile(result.output / "results.parquet")
    assert file.metadata.num_row_groups == 2
    assert file.metadata.num_rows == len(csv_rows(result)) - 1


def test_resuming_writes_the_same_bytes_and_run_json_names_the_file(store, config_for):
    config = config_for(within=["layer", "step"])
    first = run_sweep(config)
    content = (first.output / "results.parquet").read_bytes()
    (first.output / "results.parquet").unlink()
    second = run_sweep(config)
    assert second.groups_computed == 0
    assert (first.output / "results.parquet").read_bytes() == content
    record = json.loads(second.run_path.read_text("utf-8"))
    assert record["results"]["parquet"] == "results.parquet"


def test_shards(store, config_for):
    config = config_for(within=["layer", "step"])
    first = run_sweep(config, shard=Shard(1, 2))
    assert not (first.output / "results.parquet").exists()
    last = run_sweep(config, shard=Shard(2, 2))
    assert last.written
    assert as_cells(table_of(last))[0] == csv_rows(last)[0]
    assert table_of(last).num_rows == len(csv_rows(last)) - 1


def test_without_pyarrow_a_table_of_an_earlier_run_is_removed(store, config_for, monkeypatch):
    first = run_sweep(config_for(within=["layer", "step"]))
    assert (first.output / "results.parquet").exists()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    second = run_sweep(config_for(within=["layer"], steps="final_each"))
    assert not (second.output / "results.parquet").exists()
    assert len(csv_rows(second)) == 1 + 6
    assert json.loads(second.run_path.read_text("utf-8"))["results"]["parquet"] is None


def test_a_failed_export_keeps_the_old_table(store, config_for, monkeypatch):
    first = run_sweep(config_for(within=["layer", "step"]))
    content = (first.output / "results.parquet").read_bytes()

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("fastcka.sweep.results.exports._files_of", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_sweep(config_for(within=["layer"]))
    assert (first.output / "results.parquet").read_bytes() == content
    assert not list(first.output.glob(".tmp-*"))
