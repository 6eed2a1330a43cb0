"""A plan as JSON and as text."""

from __future__ import annotations

import json

import pytest

from fastcka.errors import SweepError
from fastcka.sweep import plan_sweep
from fastcka.sweep.question.dropped import left_out_text
from sweep.plan_grids import LASTS, grid


def test_the_plan_as_json_and_as_text(config_for, trained):
    config = config_for(
        within=["layer", "step"], differ=["seed"], select={"variant": "b"}, steps="final_each"
    )
    plan = plan_sweep(config)
    document = json.loads(json.dumps(plan.to_dict()))
    assert (document["representations"], document["groups"], document["comparisons"]) == (6, 2, 6)
    assert document["dropped"] == {
        "representations outside select.variant": 12,
        "representations at steps that compare.steps (final_each) leaves out": 6,
    }
    # 3 seeds of 40 examples: conv 5 features of float32, fc 9 of float64.
    assert document["bytes_to_read"] == 3 * 40 * (5 * 4 + 9 * 8)
    assert document["bytes_memory"] >= document["bytes_to_read"]
    conv, fc = document["group_plans"]
    assert (conv["name"], fc["name"]) == ("layer=conv, step=90", "layer=fc, step=90")
    assert conv["route"] in ("F", "G")
    assert 0 < document["seconds"] < 1
    assert (document["pairs_before_rules"], document["dropped_by_rule"]) == (6, {"differ seed": 0})
    words = plan.explain()
    assert "(24 representations)\n" in words
    assert (
        "\nrepresentations: 6\ngroups: 2\npairs: 6: 6 within the groups, minus 0 by differ seed\n"
        in words
    )
    assert "left out: 12 representations outside select.variant" in words


def test_the_rules_of_a_plan_as_text(config_for, trained):
    compare = {
        "within": ["layer"],
        "same": ["step"],
        "differ": ["model"],
        "overlapping": ["tasks"],
        "ascending": ["variant", "seed"],
        "order": {"variant": ["a", "b"], "seed": ["orig", 1, 2]},
        "left": {"variant": "a", "seed": ["orig", 1]},
        "right": {},
    }
    facts = plan_sweep(config_for(compare=compare, select={"step": 0})).facts()
    assert list(facts.items())[5:14] == [
        ("examples", facts["examples"]),
        ("equal in a group", "layer"),
        ("different in a pair", "model"),
        ("equal in a pair", "step"),
        ("something shared in a pair", "tasks"),
        ("rising together in a pair", "variant, seed"),
        ("left", 'variant=["a"], seed=["orig", 1]'),
        ("right", "all"),
        ("steps", "all: 0"),
    ]
    # Each layer has 6 models, so 15 pairs. 6 of these have no model on the left. Of the other 9, 3
    # pair two seeds of a, 2 have equal seeds, and (a 1, b orig) falls: 3 remain.
    assert facts["pairs"].splitlines()[0] == (
        "6: 30 within the groups, minus 12 by left and right, minus 0 by same step, minus 0 by "
        "overlapping tasks, minus 0 by differ model, minus 12 by ascending variant, seed"
    )


def test_two_plans_of_one_configuration_are_equal(config_for, trained):
    config = config_for(within=["layer", "variant"], differ=["seed"], steps="final_each")
    first, second = plan_sweep(config), plan_sweep(config)
    assert first.to_dict() == second.to_dict()
    assert list(first.pairs()) == list(second.pairs())
    assert [g.file_stem for g in first.groups] == [
        "0000_layer=conv_variant=a",
        "0001_layer=fc_variant=a",
        "0002_layer=conv_variant=b",
        "0003_layer=fc_variant=b",
    ]


def test_the_text_names_and_counts_what_is_left_out(config_for, labelled_store):
    factors = {
        "m1": {"family": "mlp", "seed": 1},
        "m2": {"family": "mlp", "seed": 2},
        "m3": {"family": "mlp", "seed": 2},
        "lone": {"family": "lone", "seed": 1},
    }
    config = config_for(within=["family", "layer", "step"], differ=["seed"])
    plan = plan_sweep(config, labelled_store(grid(factors, layers=["a"]), factors))
    assert plan.dropped_examples == {
        "groups without a comparison": ["family=lone, layer=a, step=0: one member"],
        "representations of groups without a comparison": ["model=lone, step=0, layer=a"],
        "pairs in a group with equal 'seed' (compare.differ)": [
            "model=m2, step=0, layer=a and model=m3, step=0, layer=a"
        ],
    }
    left_out = plan.facts()["left out"]
    for words in (
        "1 group without a comparison\n  family=lone, layer=a, step=0: one member\n",
        "1 representation of groups without a comparison\n",
        "1 pair in a group with equal 'seed'",
    ):
        assert words in left_out
    assert plan.to_dict()["dropped_examples"] == plan.dropped_examples


def test_at_most_three_examples_of_a_reason_are_listed(config_for, labelled_store):
    factors = {f"m{number}": {} for number in range(9)}
    config = config_for(within=["layer"], select={"model": ["m0", "m1"]})
    plan = plan_sweep(config, labelled_store(grid(factors), factors))
    assert plan.dropped == {"representations outside select.model": 7}
    assert plan.dropped_examples["representations outside select.model"] == [
        f"model=m{number}, step=0, layer=l" for number in (2, 3, 4)
    ]


def test_many_reasons_are_abridged():
    counts = {f"groups of kind {number}": 2 for number in range(12)}
    assert left_out_text(counts).splitlines()[-2:] == [
        "2 groups of kind 9",
        "and 2 more reasons; --json lists all",
    ]


def test_a_hint_explains_final_each_within_step(config_for, labelled_store):
    factors = {model: {} for model in LASTS}
    store = labelled_store(grid(factors, steps=LASTS), factors)
    with pytest.raises(
        SweepError, match=r"is empty: .*different models \(328125, 328132, 328146\)"
    ):
        plan_sweep(config_for(within=["layer", "step"], steps="final_each"), store)
    steps = LASTS | {"two": LASTS["one"]}
    store = labelled_store(grid(factors, steps=steps), factors)
    plan = plan_sweep(config_for(within=["layer", "step"], steps="final_each"), store)
    assert plan.comparisons == 1
    assert "different models (328132, 328146); `step` in compare.within" in plan.facts()["hint"]
    assert plan_sweep(config_for(within=["layer"], steps="final_each"), store).hint == ""
    assert plan_sweep(config_for(within=["step"], steps="final_common"), store).hint == ""
