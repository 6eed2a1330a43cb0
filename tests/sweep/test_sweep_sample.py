"""Samples of examples: chosen by id alone, with the definition written here again."""

from __future__ import annotations

import csv
import hashlib
import json
import sqlite3
from contextlib import closing

import numpy as np
import pytest

import oracle
from fastcka.errors import SweepConfigError, SweepError
from fastcka.store import create_store
from fastcka.sweep import load_sweep, plan_sweep, run_sweep
from fastcka.sweep.question.config import SweepConfig

pytestmark = pytest.mark.usefixtures("no_figures")
IDS = [f"text {row}" for row in range(50)]
RNG = np.random.default_rng(21)
BASE = RNG.normal(size=(50, 4))


def _write(folder, orders):
    """Write models with rows in the given orders; return model -> id -> row."""
    rows = {}
    with create_store(folder / "store") as store:
        for model, order in orders.items():
            rng = np.random.default_rng(ord(model))
            x = BASE @ rng.normal(size=(4, 6)) + rng.normal(size=(50, 6))
            rows[model] = {IDS[row]: x[row] for row in order}
            store.write(
                model=model,
                step=0,
                layers={"fc": x[order], "head": x[order][:, :3]},
                example_ids=[IDS[row] for row in order],
                example_columns={"length": [row % 3 for row in order]},
            )
    return rows


def _smallest(ids, size, seed):
    def digest(name):
        return hashlib.blake2b(name.encode(), digest_size=8, key=str(seed).encode()).digest()

    return set(sorted(ids, key=digest)[:size])


@pytest.fixture
def orders():
    return {"a": np.arange(50), "b": RNG.permutation(50), "c": RNG.permutation(50)}


def _taken(plan, rows):
    """Return the ids that each representation of the first group is read at."""
    group = plan.groups[0]
    return [
        [list(rows[r.key.model])[row] for row in positions]
        for r, positions in zip(group.representations, group.examples.rows, strict=True)
    ]


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_a_sample_has_the_smallest_digests_and_the_right_values(tmp_path, config_for, orders, seed):
    rows = _write(tmp_path, orders)
    config = config_for(within=["layer"], examples={"sample": 20, "seed": seed})
    plan = plan_sweep(config)
    expected = _smallest(IDS, 20, seed)
    first, *others = _taken(plan, rows)
    assert set(first) == expected
    assert first == [name for name in IDS if name in expected]  # in the order of the file
    assert others == [first, first]
    result = run_sweep(config)
    with result.results_path.open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 6
    for row in table:
        x, y = (
            np.array([rows[row[f"model_{side}"]][name] for name in first])[
                :, : 3 if row["layer"] == "head" else 6
            ]
            for side in "ab"
        )
        assert float(row["cka"]) == pytest.approx(oracle.cka(x, y, "unbiased"), abs=1e-6)
        assert (row["n_examples"], row["n_dropped"]) == ("20", "30")
        assert row["dropped"] == "30 outside the sample"


def test_the_order_of_the_files_and_missing_rows_change_little(tmp_path, config_for, orders):
    config = config_for(within=["layer"], examples={"sample": 12, "seed": 5})
    samples = []
    for name in ("one", "other", "fewer"):
        chosen = {model: np.roll(order, 7 * len(samples)) for model, order in orders.items()}
        if name == "fewer":  # one example of the sample is missing in one model
            gone = IDS.index(sorted(samples[0])[0])
            chosen["b"] = chosen["b"][chosen["b"] != gone]
        rows = _write(tmp_path / name, chosen)
        here = config.model_copy(update={"store": tmp_path / name / "store"})
        samples.append(set(_taken(plan_sweep(here), rows)[0]))
    assert samples[0] == samples[1] == _smallest(IDS, 12, 5)
    assert len(samples[0] & samples[2]) == 11


def test_a_smaller_sample_is_part_of_a_larger_one(tmp_path, config_for, orders):
    rows = _write(tmp_path, orders)
    samples = [
        set(_taken(plan_sweep(config_for(within=["layer"], examples=examples)), rows)[0])
        for examples in ({"sample": 8}, {"sample": 9}, {"sample": 30}, {"sample": 30, "seed": 1})
    ]
    assert samples[0] < samples[1] < samples[2]
    assert samples[3] != samples[2]


def test_a_sample_is_taken_from_what_the_filter_keeps(tmp_path, config_for, orders):
    rows = _write(tmp_path, orders)
    examples = {"filter": "length:[12]", "sample": 10, "seed": 3}
    plan = plan_sweep(config_for(within=["layer"], examples=examples))
    kept = [name for row, name in enumerate(IDS) if row % 3]
    assert set(_taken(plan, rows)[0]) == _smallest(kept, 10, 3)
    dropped = {"outside the filter": 17, "outside the sample": 23}
    assert plan.groups[0].examples.dropped == dropped
    assert plan.facts()["examples"].splitlines() == [
        "10 in each group",
        "17 left out: outside the filter",
        "23 left out: outside the sample",
        "sample: 10 examples by id, seed 3",
    ]


def test_ledger_and_record_name_the_sample(tmp_path, config_for, orders):
    _write(tmp_path, orders)
    config = config_for(within=["layer"], examples={"sample": 10, "seed": 3})
    result = run_sweep(config)
    with closing(sqlite3.connect(result.ledger_path)) as db:
        sizes = db.execute(
            "SELECT json_extract(provenance, '$.sample.size'), "
            "json_extract(provenance, '$.sample.seed') FROM groups"
        ).fetchall()
    assert sizes == [(10, 3), (10, 3)]
    record = json.loads(result.run_path.read_text("utf-8"))
    assert record["config"]["examples"] == {"filter": None, "sample": 10, "seed": 3}
    assert run_sweep(config).groups_reused == 2
    other = config.model_copy(
        update={"examples": SweepConfig.model_validate(config.model_dump()).examples}
    )
    assert run_sweep(other).groups_reused == 2
    another = config_for(within=["layer"], examples={"sample": 10, "seed": 4})
    result = run_sweep(another)
    assert (result.groups_computed, result.groups_reused) == (2, 0)
    assert any("replaced the results of another sweep" in note for note in result.notes)


def test_a_sample_of_all_examples_is_all_of_them(tmp_path, config_for, orders):
    _write(tmp_path, orders)
    everything = plan_sweep(config_for(within=["layer"]))
    sampled = plan_sweep(config_for(within=["layer"], examples={"sample": 50}))
    for one, other in zip(everything.groups, sampled.groups, strict=True):
        assert one.examples.digest == other.examples.digest
        assert other.examples.dropped == {}


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ({"sample": 51}, r"examples\.sample: expected at most 50, .*'layer=fc' has in common; got"),
        (
            {"sample": 18, "filter": "length:0"},
            r"expected at most 17, the examples .* in common and the filter keeps; got 18",
        ),
        ({"sample": 3}, r"'unbiased' needs at least 4 examples, .* has 3 \(without 47 outside the"),
    ],
)
def test_a_sample_that_is_too_large_or_too_small_is_refused(
    tmp_path, config_for, orders, examples, message
):
    _write(tmp_path, orders)
    with pytest.raises(SweepError, match=message):
        plan_sweep(config_for(within=["layer"], examples=examples))


def test_a_sample_has_no_folders_of_pairs(tmp_path, config_for, orders):
    _write(tmp_path, orders)
    config = config_for(within=["layer"], examples={"sample": 9}, export="pairs")
    with pytest.raises(SweepError, match=r"examples\.sample: .* have no samples"):
        plan_sweep(config)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{sample: 0}", "sample: expected a whole number of at least 1, not 0"),
        ("{sample: true}", "sample: expected a whole number of at least 1, not True"),
        ("{sample: 1.5}", "sample: expected a whole number of at least 1, not 1.5"),
        ("{sample: 5, seed: -1}", "seed: expected a whole number from 0 to"),
        ("{sample: 5, seed: x}", "seed: expected a whole number from 0 to"),
        ("{sampel: 5}", "expected the keys filter, sample and seed, not 'sampel'"),
        ("{seed: 5}", "expected the key sample"),
        ("{}", "expected the key sample"),
        ("{filter: 5, sample: 5}", "filter: expected field:pattern"),
        ("{filter: 'length:(', sample: 5}", "length"),
        ("[5]", "expected a filter, field:pattern terms"),
    ],
)
def test_a_malformed_sample_is_refused(tmp_path, text, message):
    path = tmp_path / "sweep.yaml"
    path.write_text(f"store: s\noutput: o\ncompare: {{}}\nexamples: {text}\n", "utf-8")
    with pytest.raises(SweepConfigError) as raised:
        load_sweep(path)
    assert "sweep.yaml: examples" in str(raised.value)
    assert message in str(raised.value)


def test_a_mapping_with_a_filter_alone_is_the_filter(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text("store: s\noutput: o\ncompare: {}\nexamples: {filter: 'id:a'}\n", "utf-8")
    assert load_sweep(path).examples == "id:a"
