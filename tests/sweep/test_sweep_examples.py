"""Examples are matched by id: which are kept, in which order, and why others are dropped.

Every expected value is computed here from dictionaries id -> row, by the definitions in float64.
"""

from __future__ import annotations

import csv
import json

import h5py
import numpy as np
import pytest

import oracle
from fastcka.errors import StoreError, SweepError
from fastcka.store import ExampleFilter, Store, create_store
from fastcka.sweep import plan_sweep, run_sweep

pytestmark = pytest.mark.usefixtures("no_figures")

N = 60
IDS = [str(990 + row) for row in range(N)]
REGIONS = ["Europe", "Asia", "Atlantis", "Africa"]
TWO_FIELDS = "region:^(?!Atlantis).* && city_id:^[1-9][0-9]{3,}$"
OUTSIDE = "outside the filter"
NOT_EVERYWHERE = "not in every representation of the group"
DISPUTED = "outside the filter in some representations of the group only"


def _region(name):
    return REGIONS[int(name) % 4]


class World:
    """A store that is written model by model, and a dictionary of each model's rows by id."""

    def __init__(self, folder):
        self.folder = folder
        self.rows = {}

    def add(self, model, ids, *, dtype=np.float32, columns=True, regions=_region, factors=None):
        """Write a model with the rows of ``ids`` in this order; its layers are "3" and "4"."""
        shared = np.random.default_rng(0).normal(size=(2_000, 5))
        rng = np.random.default_rng([ord(letter) for letter in model])
        mixing = {layer: rng.normal(size=(5, 7)) for layer in "34"}
        for layer in "34":
            noise = {name: rng.normal(size=7) for name in sorted(ids)}
            self.rows[model, layer] = {
                name: (shared[int(name)] @ mixing[layer] + noise[name] + 5).astype(dtype)
                for name in ids
            }
        given = {"region": [regions(name) for name in ids], "city_id": [int(name) for name in ids]}
        with create_store(self.folder, exist_ok=True) as store:
            store.write(
                model=model,
                step=0,
                layers={
                    layer: np.array([self.rows[model, layer][name] for name in ids])
                    for layer in "34"
                },
                example_ids=ids,
                example_columns=given if columns else None,
                factors=factors,
            )

    def check(self, result, keeps=lambda name: True):
        """Compare every value of a table with the definitions over the ids of all models."""
        with result.results_path.open(encoding="utf-8", newline="") as file:
            table = list(csv.DictReader(file))
        assert len(table) == result.comparisons > 0
        for row in table:
            models = {model for model, _ in self.rows}
            common = set.intersection(*(set(self.rows[m, row["layer"]]) for m in models))
            kept = sorted(name for name in common if keeps(name))
            x, y = (
                np.array([self.rows[row[f"model_{side}"], row["layer"]][name] for name in kept])
                for side in "ab"
            )
            for estimator in ("biased", "unbiased"):
                expected = oracle.cka(x, y, estimator)
                assert float(row[f"cka_{estimator}"]) == pytest.approx(expected, abs=1e-6)
            assert int(row["n_examples"]) == len(kept)
            every = set.union(*(set(self.rows[m, row["layer"]]) for m in models))
            assert int(row["n_dropped"]) == len(every) - len(kept)
        return table


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "store")


def _shuffled(seed, ids=IDS):
    return [ids[row] for row in np.random.default_rng(seed).permutation(len(ids))]


@pytest.mark.parametrize("precision", ["high", "float64"])
def test_shuffled_rows_are_matched_by_id(world, config_for, precision):
    world.add("a", IDS)
    world.add("b", _shuffled(1))
    world.add("c", _shuffled(2), dtype=np.float64)
    config = config_for(within=["layer"], precision=precision)
    plan = plan_sweep(config)
    result = run_sweep(config)
    table = world.check(result)
    assert {row["dropped"] for row in table} == {""}
    # Rows matched by position would give another value.
    x, y = (np.array(list(world.rows[model, "3"].values())) for model in "ab")
    (row,) = (r for r in table if (r["model_a"], r["model_b"], r["layer"]) == ("a", "b", "3"))
    assert abs(oracle.cka(x, y, "unbiased") - float(row["cka"])) > 0.1
    # The first representation sets the order, so its rows need no gathering.
    for group in plan.groups:
        assert group.examples.rows[0] is None
        for rows, model in zip(group.examples.rows[1:], "bc", strict=True):
            stored = list(world.rows[model, "3"])
            assert [stored[row] for row in rows] == IDS


def test_ids_that_match_only_in_part(world, config_for):
    world.add("a", _shuffled(3, IDS[:50]))
    world.add("b", _shuffled(4, IDS[10:]))
    world.add("c", [*IDS[5:30], *IDS[31:]])
    config = config_for(within=["layer"])
    table = world.check(run_sweep(config))
    # All three have 990+10 to 990+49, except 990+30.
    assert {row["n_examples"] for row in table} == {"39"}
    assert {row["dropped"] for row in table} == {f"21 {NOT_EVERYWHERE}"}
    plan = plan_sweep(config)
    (first, second) = plan.to_dict()["group_plans"]
    assert first["n_examples"] == 39
    assert first["examples_dropped"] == second["examples_dropped"] == {NOT_EVERYWHERE: 21}
    assert first["rows_dropped"] == [11, 11, 15]
    assert plan.facts()["examples"] == f"39 in each group\n21 left out: {NOT_EVERYWHERE}"
    record = json.loads((config.output / "run.json").read_text(encoding="utf-8"))
    assert record["groups"][0]["examples_dropped"] == {NOT_EVERYWHERE: 21}


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_filter_of_two_fields(world, config_for, shuffle):
    for seed, model in enumerate("abc"):
        world.add(model, _shuffled(seed) if shuffle else IDS)
    result = run_sweep(config_for(within=["layer"], examples=TWO_FIELDS))
    kept = [name for name in IDS if int(name) >= 1000 and _region(name) != "Atlantis"]
    table = world.check(result, keeps=lambda name: name in kept)
    assert 30 < len(kept) < 40
    assert {row["dropped"] for row in table} == {f"{60 - len(kept)} {OUTSIDE}"}


def test_reasons_are_counted_once_for_each_example(world, config_for):
    """The filter is counted before a missing id; a disputed example is counted apart."""
    world.add("a", IDS)
    world.add("b", IDS[8:], regions=lambda name: "Asia" if name == "1012" else _region(name))
    config = config_for(within=["layer"], examples="region:^(?!Atlantis)")
    examples = plan_sweep(config).groups[0].examples
    atlantis = [name for name in IDS if _region(name) == "Atlantis"]
    assert len(atlantis) == 15
    assert not {"1012"} & set(atlantis)  # Europe in a, Asia in b: no dispute about Atlantis
    missing = [name for name in IDS[:8] if name not in atlantis]
    assert examples.dropped == {OUTSIDE: 15, NOT_EVERYWHERE: len(missing)}
    world.add("c", IDS, regions=lambda name: "Atlantis" if name == "1012" else _region(name))
    examples = plan_sweep(config).groups[0].examples
    assert examples.dropped == {OUTSIDE: 15, NOT_EVERYWHERE: len(missing), DISPUTED: 1}
    assert examples.n_dropped == (15 + len(missing) + 1, 15 - 2 + 1, 15 + len(missing) + 1)
    kept = set(IDS) - set(atlantis) - set(missing) - {"1012"}
    world.check(run_sweep(config), keeps=lambda name: name in kept)


def test_the_filter_reads_the_columns_of_each_file(world, config_for):
    """All three models have the same ids in the same order; b has other column values."""
    world.add("a", IDS)
    world.add("b", IDS, regions=lambda name: "Atlantis" if int(name) > 1030 else _region(name))
    world.add("c", IDS)
    result = run_sweep(config_for(within=["layer"], examples="region:^(?!Atlantis)"))
    world.check(result, keeps=lambda name: int(name) <= 1030 and _region(name) != "Atlantis")


def test_a_representation_without_the_filters_column_is_an_error(world, config_for, tmp_path):
    """Its ids equal those of the others, so a mask by ids would fit it."""
    world.add("a", IDS)
    world.add("b", IDS, columns=False)
    world.add("c", IDS)
    with pytest.raises(SweepError, match=r"unknown field 'region'.*the examples of model 'b'"):
        run_sweep(config_for(within=["layer"], examples="region:^(?!Atlantis)"))
    assert not (tmp_path / "out").exists()
    assert plan_sweep(config_for(within=["layer"], examples="id:1")).comparisons == 6


def test_an_unknown_field_is_an_error_with_a_suggestion(world, config_for):
    for model in "ab":
        world.add(model, IDS)
    with pytest.raises(SweepError, match=r"unknown field 'regoin'; did you mean region\?"):
        plan_sweep(config_for(within=["layer"], examples="regoin:^(?!Atlantis)"))


def test_a_filter_that_drops_all_is_an_error(world, config_for, tmp_path):
    for model in "ab":
        world.add(model, IDS)
    with pytest.raises(SweepError, match="the filter 'region:Mu' keeps no example of group 'layer"):
        run_sweep(config_for(within=["layer"], examples="region:Mu"))
    assert not (tmp_path / "out").exists()


def test_models_without_common_ids_are_an_error(world, config_for):
    world.add("a", IDS)
    world.add("b", IDS[:30])
    world.add("c", [str(int(name) + 500) for name in IDS])
    with pytest.raises(SweepError, match=r"model 'c'.* has 0 of the 60 ids .*'1490' and '990'"):
        plan_sweep(config_for(within=["layer"]))


def test_too_few_examples_are_an_error_with_the_reason(world, config_for):
    for model in "ab":
        world.add(model, IDS)
    chosen = {"within": ["layer"], "examples": "id:^99[0-2]$"}
    with pytest.raises(SweepError, match=rf"at least 4 .* has 3 \(without 57 {OUTSIDE}\)"):
        plan_sweep(config_for(**chosen))
    assert plan_sweep(config_for(**chosen, estimator="biased")).groups[0].n_examples == 3


def test_a_pathological_pattern_is_stopped(world, config_for):
    ids = [str(1000 + number) for number in range(20)]
    for model in "ab":
        world.add(model, ids, regions=lambda name: "a" * 40 + "!")
    with pytest.raises(SweepError, match=r"takes too much time \(limit 1\.0 s"):
        plan_sweep(config_for(within=["layer"], examples="region:^(a|aa)+$"))


def test_a_file_with_duplicate_ids_is_refused(world, config_for, as_format_1_0):
    """Another program can write such a file; the last row must not replace the first."""
    world.add("a", IDS)
    world.add("b", _shuffled(5))
    path = next(world.folder.rglob("b-*/0.h5"))
    as_format_1_0(path)
    with h5py.File(path, "r+") as file:
        file["examples/id"][7] = file["examples/id"][8]
    with pytest.raises(StoreError, match="expected unique ids, got repeated ones"):
        run_sweep(config_for(within=["layer"]))


def test_groups_with_different_examples_are_reported_as_a_range(world, config_for):
    world.add("a", IDS, factors={"half": 0})
    world.add("b", IDS, factors={"half": 0})
    world.add("c", IDS[:50], factors={"half": 1})
    world.add("d", IDS[10:], factors={"half": 1})
    facts = plan_sweep(config_for(within=["layer", "half"])).facts()
    assert facts["examples"] == f"40 to 60 in each group\n0 to 20 left out: {NOT_EVERYWHERE}"


# --- recomputing and rereading -----------------------------------------------------------------


def test_changed_ids_of_the_same_data_are_computed_again(world, config_for):
    """The kept examples and their order stay the same, but their ids belong to other rows."""
    world.add("a", IDS)
    world.add("b", _shuffled(6))
    config = config_for(within=["layer"])
    first = world.check(run_sweep(config))
    relabelled = dict(zip(_shuffled(6), _shuffled(7), strict=True))
    for layer in "34":
        old = world.rows["b", layer]
        world.rows["b", layer] = {relabelled[name]: row for name, row in old.items()}
    with create_store(world.folder, exist_ok=True) as store:
        layers = {layer: np.array(list(world.rows["b", layer].values())) for layer in "34"}
        ids = list(world.rows["b", "3"])
        store.write(model="b", step=0, layers=layers, example_ids=ids, overwrite=True)
    result = run_sweep(config)
    assert (result.groups_computed, result.groups_reused) == (2, 0)
    assert [row["cka"] for row in world.check(result)] != [row["cka"] for row in first]


def test_only_the_kept_examples_decide_what_is_computed(world, config_for):
    for model in "ab":
        world.add(model, IDS)
    assert run_sweep(config_for(within=["layer"])).groups_computed == 2
    # A filter that keeps every example changes nothing; another filter does.
    all_of_them = config_for(within=["layer"], examples="id:.*")
    assert run_sweep(all_of_them).groups_computed == 0
    some = config_for(within=["layer"], examples="id:^1")
    assert run_sweep(some).groups_computed == 2
    assert run_sweep(config_for(within=["layer"], examples="city_id:^1")).groups_computed == 0
    for region in ("Europe", "Asia"):  # equally many examples, but different ones
        result = run_sweep(config_for(within=["layer"], examples=f"region:{region}"))
        assert result.groups_computed == 2
        table = world.check(result, keeps=lambda name, region=region: _region(name) == region)
        assert {row["n_examples"] for row in table} == {"15"}


@pytest.fixture
def counted(monkeypatch):
    """Count the reads of ids and columns, and the matches of the filter."""
    calls = {"examples": 0, "filter": 0, "gathered": 0}
    read_examples, read_many, apply = Store.examples, Store.read_many, ExampleFilter.apply

    def examples(self, key):
        calls["examples"] += 1
        return read_examples(self, key)

    def applied(self, examples, verdicts):
        calls["filter"] += 1
        return apply(self, examples, verdicts)

    def values(self, keys, *, rows=None, **options):
        calls["gathered"] += sum(each is not None for each in rows or [])
        return read_many(self, keys, rows=rows, **options)

    monkeypatch.setattr(Store, "examples", examples)
    monkeypatch.setattr(Store, "read_many", values)
    monkeypatch.setattr(ExampleFilter, "apply", applied)
    return calls


def test_the_same_ids_in_the_same_order_are_neither_parsed_nor_gathered(world, config_for, counted):
    for model in "abcd":
        world.add(model, IDS)
    result = run_sweep(config_for(within=["layer"]))
    assert counted == {"examples": 0, "filter": 0, "gathered": 0}
    world.check(result)


@pytest.mark.parametrize("orders", [1, 3])
def test_each_list_of_examples_is_parsed_and_matched_once(world, config_for, counted, orders):
    """12 models of 2 layers in 4 groups; both halves share one of the three row orders."""
    for number in range(12):
        half = number // 6
        order = (number % 2 + half) % orders
        world.add(f"model {number:02d}", _shuffled(order), factors={"half": half})
    config = config_for(within=["layer", "half"], examples=TWO_FIELDS)
    result = run_sweep(config)
    assert counted == {"examples": orders, "filter": orders, "gathered": 24}
    world.check(result, keeps=lambda name: int(name) >= 1000 and _region(name) != "Atlantis")


def test_the_digest_of_a_group_equals_that_of_a_file_with_its_examples(world, config_for):
    world.add("a", _shuffled(1))
    world.add("b", IDS[:40])
    config = config_for(within=["layer"], examples="region:^(?!Atlantis)")
    (digest,) = {group.examples.digest for group in plan_sweep(config).groups}
    kept = [name for name in _shuffled(1) if name in IDS[:40] and _region(name) != "Atlantis"]
    world.add("c", kept)
    with create_store(world.folder, exist_ok=True) as store:
        (key, _) = (key for key in store.keys() if key.model == "c")
        assert store.info(key).examples_digest == digest
