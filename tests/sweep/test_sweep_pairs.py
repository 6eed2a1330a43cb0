"""The rules for pairs: selection, sets, order and refusals."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fastcka.errors import SweepError
from fastcka.store import Key, create_store
from fastcka.sweep import plan_sweep
from sweep.plan_grids import SEEDS, compare_factors, pairs_of


@pytest.mark.parametrize(
    ("compare", "equal", "count"),
    [
        # 2 models, 3 steps, 4 layers: 24 representations
        ({"within": ["model", "step"]}, ("model", "step"), 2 * 3 * 6),
        ({"within": ["model", "layer"]}, ("model", "layer"), 2 * 4 * 3),
        ({"within": ["layer", "step"]}, ("step", "layer"), 3 * 4),
        ({"same": ["model", "step"]}, ("model", "step"), 2 * 3 * 6),
        ({"within": ["model"], "differ": ["layer", "step"]}, ("model",), 2 * 12 * 6 // 2),
        ({"within": ["step"], "same": ["layer"], "differ": ["model"]}, ("step", "layer"), 12),
        ({"within": ["layer"], "differ": ["model"]}, ("layer",), 4 * 3 * 3),
        ({"within": ["model", "step"], "ascending": ["layer"]}, ("model", "step"), 2 * 3 * 6),
        ({}, (), 24 * 23 // 2),
    ],
)
def test_layers_steps_and_models_follow_the_same_rules(
    config_for, labelled_store, compare, equal, count
):
    plan = compare_factors(
        config_for,
        labelled_store,
        compare,
        {"a": {}, "b": {}},
        steps=(0, 10, 20),
        layers=("l1", "l2", "l3", "l4"),
    )
    pairs = pairs_of(plan)
    assert len(set(pairs)) == len(pairs) == count
    for one, other in pairs:
        assert all(getattr(one, field) == getattr(other, field) for field in equal)
        assert all(getattr(one, f) != getattr(other, f) for f in compare.get("differ", ()))


def test_layers_of_one_model_against_those_of_another(config_for, labelled_store):
    plan = compare_factors(
        config_for,
        labelled_store,
        {"left": {"model": "a"}, "right": {"model": "b"}},
        {"a": {}, "b": {}, "c": {}},
        layers=("l1", "l2", "l3"),
    )
    assert {(a.model + a.layer, b.model + b.layer) for a, b in plan.pairs()} == {
        (f"al{i}", f"bl{j}") for i in (1, 2, 3) for j in (1, 2, 3)
    }
    assert plan.dropped["representations in neither compare.left nor compare.right"] == 3


def test_sides_that_overlap_give_each_pair_once(config_for, labelled_store):
    factors = {name: {"set": list(name)} for name in ("x", "xy", "yx", "y", "z")}
    plan = compare_factors(config_for, labelled_store, {"left": {"set": "x"}, "right": {}}, factors)
    pairs = [frozenset((a.model, b.model)) for a, b in plan.pairs()]
    # Every pair except y and z.
    assert len(pairs) == len(set(pairs)) == 10 - 1
    assert frozenset("yz") not in pairs
    both = {"left": {"set": "x"}, "right": {"set": "y"}}
    pairs = [
        frozenset((a.model, b.model))
        for a, b in compare_factors(config_for, labelled_store, both, factors).pairs()
    ]
    assert sorted(map(sorted, pairs)) == sorted(
        map(sorted, itertools.combinations(("x", "xy", "yx", "y"), 2))
    )


def test_exclude_needs_a_match_in_all_of_its_fields(config_for, labelled_store):
    factors = {f"{v}{s}": {"variant": v, "seed": s} for v in "ab" for s in (1, 2)}
    plan = compare_factors(
        config_for, labelled_store, {}, factors, exclude={"variant": "a", "seed": [2]}
    )
    assert [r.key.model for r in plan.representations] == ["a1", "b1", "b2"]
    assert plan.dropped == {"representations left out by exclude (variant, seed)": 1}
    lacking = factors | {"c": {"seed": 2}}
    plan = compare_factors(config_for, labelled_store, {}, lacking, exclude={"variant": "a"})
    assert [r.key.model for r in plan.representations] == ["b1", "b2", "c"]


@pytest.mark.parametrize(
    ("exclude", "last"),
    [
        ({"step": 20}, {"a": 10, "b": 10}),
        ({"step": 20, "model": "a"}, {"a": 10, "b": 20}),
        # Layer l2 remains at step 20, so 20 stays the last step.
        ({"step": 20, "model": "a", "layer": "l1"}, {"a": 20, "b": 20}),
        ({"layer": "l1"}, {"a": 20, "b": 20}),
    ],
)
def test_the_last_step_after_exclude(config_for, labelled_store, exclude, last):
    plan = compare_factors(
        config_for,
        labelled_store,
        {"within": ["layer"], "steps": "final_each"},
        {"a": {}, "b": {}},
        steps=(10, 20),
        layers=("l1", "l2"),
        exclude=exclude,
    )
    assert {r.key.model: r.key.step for r in plan.representations} == last


def test_an_incomplete_checkpoint_is_still_the_last_step_after_exclude(config_for, labelled_store):
    keys = [Key(model, step, "l2") for model in "abc" for step in (10, 20)]
    keys[1] = Key("a", 20, "l1")  # at its last step, a has only l1
    config = config_for(within=["layer"], steps="final_each", exclude={"layer": "l1"})
    plan = plan_sweep(config, labelled_store(keys, {model: {} for model in "abc"}))
    assert [tuple(r.key)[:2] for r in plan.representations] == [("b", 20), ("c", 20)]
    assert any(why.startswith("missing representations of model 'a'") for why in plan.dropped)


# --- sets --------------------------------------------------------------------------------------


def test_disjoint_and_overlapping_divide_the_pairs(config_for, labelled_store):
    factors = {
        "m1": {"tasks": ["a", "b"]},
        "m2": {"tasks": ["b", "c"]},
        "m3": {"tasks": "c"},  # one value is a set of one
        "m4": {"tasks": []},
        "m5": {"tasks": ["a", "b", "a"]},
    }

    def pairs(**compare):
        plan = compare_factors(config_for, labelled_store, compare, factors)
        return {a.model[1] + b.model[1] for a, b in plan.pairs()}

    assert pairs(disjoint=["tasks"]) == {"13", "14", "24", "34", "35", "45"}
    assert pairs(overlapping=["tasks"]) == {"12", "15", "23", "25"}
    assert pairs(overlapping=["tasks"], differ=["tasks"]) == {"12", "15", "23", "25"}
    assert pairs(disjoint="tasks", left={"model": "m3"}, right={}) == {"13", "34", "35"}


def test_members_of_a_set_are_compared_like_single_values(config_for, labelled_store):
    factors = {"a": {"k": [1]}, "b": {"k": ["1"]}, "c": {"k": [True]}, "d": {"k": [1.0]}}
    plan = compare_factors(config_for, labelled_store, {"overlapping": ["k"]}, factors)
    assert [(a.model, b.model) for a, b in plan.pairs()] == [("a", "d")]


# --- order -------------------------------------------------------------------------------------


def _ascending(config_for, labelled_store, values, order=None):
    """Return the pairs that rise in the number and in ``values[number]`` together."""
    factors = {f"m{n}": {"number": n, "value": value} for n, value in enumerate(values)}
    compare = {"ascending": ["number", "value"]}
    if order is not None:
        compare["order"] = {"value": order}
    plan = compare_factors(config_for, labelled_store, compare, factors)
    return {a.model[1] + b.model[1] for a, b in plan.pairs()}


@pytest.mark.parametrize(
    ("values", "order", "expected"),
    [
        (
            [10, 9, 9.5, 9],
            None,
            {"12"},
        ),
        (["v2", "v10", "v1"], None, {"01"}),
        (["2", "10", "1"], None, {"01"}),
        (["blocks.2", "blocks.10", "blocks.1"], None, {"01"}),
        (["pt2-2", "pt2-10", "pt2-1"], None, {"01"}),
        # More digits than Python converts to an integer.
        (["9" * 5000 + "2", "9" * 5000 + "3"], None, {"01"}),
        (["late", "early", "mid"], ["early", "mid", "late"], {"12"}),
        (["orig", 1, 2], ["orig", 1, 2], {"01", "02", "12"}),
        (["orig", 1, 2], [1, "orig", 2, "never used"], {"02", "12"}),
        ([3, 2, 1], [3, 2, 1], {"01", "02", "12"}),
        ([True, False, True], [False, True], {"12"}),
    ],
)
def test_ascending_by_value_number_or_given_order(
    config_for, labelled_store, values, order, expected
):
    assert _ascending(config_for, labelled_store, values, order) == expected


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        (["orig", 1, 2], '"orig", 1, 2'),
        (["early", "mid", "late"], '"early", "mid", "late"'),
        (["a1", "b2"], '"a1", "b2"'),
        (["v1", "v01"], '"v1", "v01"'),
        ([1, "2"], '1, "2"'),
        (["0.5", "0.25"], '"0.5", "0.25"'),
        (["lr1e-3", "lr1e-4"], '"lr1e-3", "lr1e-4"'),
        (["1e5", "1e4"], '"1e5", "1e4"'),
        (["-1", "-2"], '"-1", "-2"'),
        (["v1.5", "v1.10"], '"v1.5", "v1.10"'),
        (["1/2", "1/3"], '"1/2", "1/3"'),
        ([False, True], "false, true"),
    ],
)
def test_values_without_a_natural_order(config_for, labelled_store, values, shown):
    with pytest.raises(SweepError) as caught:
        _ascending(config_for, labelled_store, values)
    assert "compare.ascending: the values of 'value' have no natural order" in str(caught.value)
    assert f"`order: {{value: [{shown}]}}`" in str(caught.value)


def test_three_fields_rise_together_or_not_at_all(config_for, labelled_store):
    factors = {
        f"m{i}{j}{k}": {"i": i, "j": j, "k": k}
        for i, j, k in itertools.product((0, 1), (0, 1, 2), (0, 1))
    }
    plan = compare_factors(config_for, labelled_store, {"ascending": ["i", "j", "k"]}, factors)
    assert {(a.model, b.model) for a, b in plan.pairs()} == {
        ("m000", "m111"),
        ("m000", "m121"),
        ("m010", "m121"),
    }
    assert "(i=0, j=0, k=0) with (i=1, j=1, k=1)" in plan.explanations[0]


# --- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("compare", "expected"),
    [
        ({"same": ["seed"], "differ": ["seed"]}, "'seed' is in both same and differ, which cont"),
        ({"within": ["seed"], "ascending": ["seed"]}, "is in both within and ascending"),
        ({"same": ["tasks"], "disjoint": ["tasks"]}, "is in both same and disjoint"),
        ({"disjoint": ["tasks"], "overlapping": ["tasks"]}, "is in both disjoint and overlap"),
        ({"order": {"seed": [1, 2]}}, "compare.order: 'seed' is not in compare.ascending"),
        (
            {"ascending": ["seed"], "order": {"seed": ["orig", 1, 2, 1.0]}},
            "compare.order.seed: expected each value once, got ['orig', 1, 2, 1.0]",
        ),
        (
            {"ascending": ["variant", "seed"], "order": {"seed": [1, 2]}},
            'compare.order.seed: "orig" is missing, a value of model=v1_orig, step=0, layer=l '
            "(listed: 1, 2)",
        ),
        (
            {"ascending": ["variant", "seed"], "order": {"seed": ["orig", "1", "2"]}},
            'compare.order.seed: 1 is missing, a value of model=v1_1, step=0, layer=l (listed: "',
        ),
        ({"ascending": ["tasks"]}, "compare.ascending: 'tasks' of model 'v1_1' is [\"x\"]: expe"),
        ({"ascending": ["none"]}, "compare.ascending: 'none' of model 'v1_1' is null: exp"),
        ({"disjoint": ["none"]}, "compare.disjoint: 'none' of model 'v1_1' is null: expected a"),
        (
            {"disjoint": ["note"]},
            "compare.disjoint: 'note' of model 'v1_1' is the single text 'a, b': expected a list",
        ),
        ({"disjoint": ["some"]}, "compare.disjoint: model 'v1_1' has no factor 'some'"),
        ({"same": ["some"]}, "compare.same: model 'v1_1' has no factor 'some' (it has: model,"),
        ({"disjoint": ["taks"]}, "compare.disjoint: unknown field 'taks'; did you mean tasks?"),
        ({"ascending": ["sead"]}, "compare.ascending: unknown field 'sead'"),
        ({"left": {"seed": 1}}, "compare.left: expected compare.right too; `right: {}"),
        ({"right": {}}, "compare.right: expected compare.left too"),
        (
            {"left": {"sed": 1}, "right": {}},
            "compare.left: unknown field 'sed'; did you mean seed?",
        ),
        ({"left": {"seed": 7}, "right": {}}, "compare.left.seed: no representation in"),
        (
            {"left": {}, "right": {"variant": 1, "some": "s"}},
            "compare.right: no selected representation has these values",
        ),
        (
            {"within": ["variant"], "left": {"variant": 1}, "right": {"variant": 2}},
            "6 within the groups, minus 6 by left and right: 0 are left",
        ),
        (
            {"within": ["seed"], "overlapping": ["tasks"]},
            "3 within the groups, minus 3 by overlapping tasks: 0 are left",
        ),
    ],
)
def test_refusals(config_for, labelled_store, compare, expected):
    factors = {
        f"v{variant}_{seed}": {
            "variant": variant,
            "seed": seed,
            "tasks": ["x" if variant == 1 else "y"],
            "none": None,
            "note": "a, b",
        }
        for variant in (1, 2)
        for seed in SEEDS
    }
    factors["v2_1"]["some"] = "s"
    with pytest.raises(SweepError) as caught:
        compare_factors(config_for, labelled_store, compare, factors)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("exclude", "expected"),
    [
        ({"sed": 1}, "exclude: unknown field 'sed'; did you mean seed?"),
        ({"seed": 9}, "exclude.seed: no representation in"),
        ({"seed": 1, "variant": 2}, "exclude: no representation has these values of seed and var"),
        ({"model": ["a", "b"]}, "no representation is left: 2 representations left out by exclude"),
    ],
)
def test_an_exclude_that_matches_nothing_or_everything(
    config_for, labelled_store, exclude, expected
):
    factors = {"a": {"seed": 1, "variant": 1}, "b": {"seed": 2, "variant": 2}}
    with pytest.raises(SweepError) as caught:
        compare_factors(config_for, labelled_store, {}, factors, exclude=exclude)
    assert expected in str(caught.value)


def test_a_damaged_file_that_is_excluded_does_not_stop_the_plan(config_for, tmp_path):
    x = np.arange(8.0).reshape(4, 2)
    with create_store(tmp_path / "store") as store:
        for model in "abc":
            for step in (0, 10):
                store.write(
                    model=model,
                    step=step,
                    layers={"l": x},
                    example_ids=list("wxyz"),
                    factors={"family": model},
                )
    [file] = [f for f in (tmp_path / "store").rglob("10.h5") if f.parent.name.startswith("c-")]
    file.write_bytes(file.read_bytes()[:100])
    for wrong in ({"model": "a"}, {"model": "c", "step": 0}, {"model": "c", "layer": "l"}):
        with pytest.raises(Exception, match=r"10\.h5"):
            plan_sweep(config_for(exclude=wrong))
    for right in ({"model": "c"}, {"step": 10}, {"model": "c", "step": [0, 10]}):
        plan = plan_sweep(config_for(exclude=right))
        assert plan.dropped["unreadable files left out by exclude"] == 1
