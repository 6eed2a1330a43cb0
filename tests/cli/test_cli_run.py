"""`fastcka run` with groups that fail, with shards, and with a filter."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import oracle
from fastcka.store import create_store

LAYERS = ("l0", "l1", "l2", "l3")


def values(model: int, layer: int) -> np.ndarray:
    return np.random.default_rng([model, layer]).normal(size=(30, 4 + layer))


@pytest.fixture
def sweep(tmp_path) -> Path:
    """Two models of four layers: four groups of one comparison."""
    with create_store(tmp_path / "store") as store:
        for model in range(2):
            layers = {name: values(model, layer) for layer, name in enumerate(LAYERS)}
            ids = [str(100 + row) for row in range(30)][:: 1 if model else -1]
            ordered = {name: x[:: 1 if model else -1] for name, x in layers.items()}
            store.write(model=f"m{model}", step=0, layers=ordered, example_ids=ids)
    path = tmp_path / "sweep.yaml"
    path.write_text("store: store\noutput: out\ncompare: {within: [layer]}\n", encoding="utf-8")
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def damage(sweep: Path, layer: int) -> None:
    (path,) = (sweep.parent / "store").rglob("m1-*/0.h5")
    data = bytearray(path.read_bytes())
    data[data.index(values(1, layer).tobytes())] ^= 1
    path.write_bytes(data)


def test_a_failed_group_is_reported_at_the_end_with_status_1(call, strict_json, sweep):
    damage(sweep, 1)
    done = call("run", sweep, "--json")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: 1 group could not be computed")
    assert "group 'layer=l1': " in done.stderr
    assert "checksum" in done.stderr
    answer = strict_json(done.stdout)
    assert list(answer["failed"]) == ["layer=l1"]
    assert (answer["groups_computed"], answer["groups_reused"]) == (3, 0)
    assert [row["layer"] for row in rows_of(Path(answer["results"]))] == ["l0", "l2", "l3"]
    again = call("run", sweep)
    assert again.exit_code == 1
    last = again.stdout.splitlines()[-1]
    assert f"`fastcka report {sweep.parent / 'out'}` writes" in last
    assert "0 computed, 3 in the ledger" in again.stdout
    assert "failed" in again.stdout


def test_shards_report_waiting_groups_and_the_last_writes_the_table(call, strict_json, sweep):
    first = call("run", sweep, "--shard", "1/2")
    assert (first.exit_code, first.stderr) == (0, "")
    assert "1/2" in first.stdout
    assert "2 groups of other shards" in first.stdout
    assert "ledger.1-of-2.sqlite" in first.stdout
    assert "results.csv" not in first.stdout
    assert "fastcka report" not in first.stdout
    second = strict_json(call("run", sweep, "--shard", "2/2", "--json").stdout)
    assert (second["shard"], second["written"], second["groups_waiting"]) == ("2/2", True, 0)
    rows = rows_of(Path(second["results"]))
    assert [row["layer"] for row in rows] == list(LAYERS)
    for row in rows:
        sides = (values(model, LAYERS.index(row["layer"])) for model in range(2))
        assert float(row["cka"]) == pytest.approx(oracle.cka(*sides, "unbiased"), abs=1e-6)


@pytest.mark.parametrize("shard", ["3/2", "0/2", "half"])
def test_an_impossible_shard_is_a_wrong_call(call, sweep, shard):
    done = call("run", sweep, "--shard", shard)
    assert done.exit_code == 2
    assert done.stderr.startswith("error: shard: expected")
    assert not (sweep.parent / "out").exists()


def test_the_plan_shows_the_filter(call, strict_json, sweep):
    sweep.write_text(sweep.read_text("utf-8") + "examples: id:^1[01]\n", encoding="utf-8")
    done = call("plan", sweep)
    assert done.exit_code == 0
    assert "20 in each group" in done.stdout
    assert "10 left out: outside the filter" in done.stdout
    plan = strict_json(call("plan", sweep, "--json").stdout)
    assert {group["n_examples"] for group in plan["group_plans"]} == {20}
    assert plan["group_plans"][0]["examples_dropped"] == {"outside the filter": 10}
