"""What `fastcka plan` and `fastcka run` print: costs, failed groups, shards, a filter."""

from __future__ import annotations

import csv
import re
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


def facts_of(shown: str) -> dict[str, str]:
    """The names and texts of the first block of an output."""
    lines = shown.split("\n\n")[0].splitlines()
    return dict(re.split(r" {2,}", line, maxsplit=1) for line in lines if line[0] != " ")


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
    assert "0 computed now, 3 computed earlier" in again.stdout
    assert "failed" in again.stdout


def test_shards_report_waiting_groups_and_the_last_writes_the_table(call, strict_json, sweep):
    first = call("run", sweep, "--shard", "1/2")
    assert (first.exit_code, first.stderr) == (0, "")
    assert "2 computed now, 0 computed earlier (of shard 1/2)" in first.stdout
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


def test_the_cost_of_a_plan_is_that_of_the_groups_to_compute(call, sweep):
    planned = facts_of(call("plan", sweep).stdout)
    assert planned["groups"] == "4: 4 to compute, 0 computed earlier"
    assert planned["reads"] == "10.6 kB"  # 2 models, 30 examples, 4 + 5 + 6 + 7 float64
    assert "drawing a heatmap for each group is not included" in planned["time"]
    assert call("run", sweep).exit_code == 0
    planned = facts_of(call("plan", sweep).stdout)
    assert planned["groups"] == "4: 0 to compute, 4 computed earlier"
    assert (planned["reads"], planned["memory"], planned["time"]) == (
        "nothing",
        "nothing to compute",
        "nothing to compute",
    )


def test_plan_and_run_count_in_the_same_words(call, sweep):
    planned, run = (facts_of(call(command, sweep).stdout) for command in ("plan", "run"))
    assert list(planned)[2:5] == list(run)[:3] == ["representations", "groups", "pairs"]
    assert (planned["representations"], run["representations"]) == ("8", "8")
    assert (planned["pairs"], run["pairs"]) == ("4: 4 within the groups", "4")
    assert run["groups"] == "4 computed now, 0 computed earlier"
    assert run["heatmaps"] == f"{sweep.parent / 'out' / 'figures'} (4, one per group)"


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize(
    ("compare", "message"),
    [
        ("{withn: [layer]}", "compare.withn: unknown field; did you mean within?"),
        ("{within: [leyer]}", "compare.within: unknown field 'leyer'; did you mean layer?"),
        ("{within: [layer], left: {model: m7}, right: {}}", "compare.left.model: no"),
        ("{within: [layer], same: [model]}", "the sweep is empty"),
        ("{steps: x, withn: [layer]}", "2 problems:\n  compare.steps: expected"),
    ],
)
def test_an_error_names_the_sweep_file_once(call, sweep, command, compare, message):
    sweep.write_text(f"store: store\noutput: out\ncompare: {compare}\n", encoding="utf-8")
    done = call(command, sweep)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: {sweep}: {message}")
    assert done.stderr.count("sweep.yaml") == 1
