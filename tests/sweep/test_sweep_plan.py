"""The planner: known traps of real sweeps, and refusals."""

from __future__ import annotations

import numpy as np
import pytest

from fastcka.errors import SweepError
from fastcka.store import Key, create_store
from fastcka.sweep import plan_sweep
from sweep.plan_grids import LASTS, grid, pairs_of

# --- traps -------------------------------------------------------------------------------------


def _seeds_of_two_variants():
    return {
        f"{variant}_{seed}": {"variant": variant, "seed": seed}
        for variant in (1, 2)
        for seed in ("orig", 1, 2)
    }


def test_orig_against_1_and_1_against_orig_are_two_comparisons(config_for, labelled_store):
    factors = _seeds_of_two_variants()
    config = config_for(within=["layer"], differ=["variant", "seed"])
    pairs = pairs_of(plan_sweep(config, labelled_store(grid(factors), factors)))
    one = frozenset({Key("1_orig", 0, "l"), Key("2_1", 0, "l")})
    other = frozenset({Key("1_1", 0, "l"), Key("2_orig", 0, "l")})
    assert one in pairs
    assert other in pairs
    # 3 x 3 pairs of seeds between the two variants, minus the 3 of equal seeds.
    assert len(pairs) == 6


def test_seven_variants_of_three_seeds_give_all_their_cross_seed_pairs(config_for, labelled_store):
    factors = {
        f"v{variant}_{seed}": {"variant": variant, "seed": seed}
        for variant in range(7)
        for seed in ("orig", 1, 2)
    }
    keys = grid(factors, layers=("3", "4", "5", "6"))
    plan = plan_sweep(
        config_for(within=["layer"], differ=["variant", "seed"]), labelled_store(keys, factors)
    )
    # 21 pairs of variants x 6 ordered pairs of different seeds x 4 layers.
    assert plan.comparisons == 21 * 6 * 4
    assert len(plan.groups) == 4
    # Same-seed pairs of different variants: 21 x 3 x 4; equal variant: 7 x 3 x 4.
    assert plan.dropped == {
        "pairs in a group with equal 'variant' (compare.differ)": 84,
        "pairs in a group with equal 'seed' (compare.differ)": 252,
    }


def test_no_representation_is_compared_with_itself(config_for, labelled_store):
    factors = _seeds_of_two_variants()
    plan = plan_sweep(config_for(), labelled_store(grid(factors, steps=(0, 5)), factors))
    assert plan.comparisons == 12 * 11 // 2
    assert all(len(pair) == 2 for pair in pairs_of(plan))
    assert [group.name for group in plan.groups] == ["all"]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("final_each", {"one": {328146}, "two": {328125}, "three": {328132}}),
        ("final_common", {model: {319956} for model in LASTS}),
        ("all_common", {model: {0, 319956} for model in LASTS}),
        ("all", {model: set(steps) for model, steps in LASTS.items()}),
        ([0], {model: {0} for model in LASTS}),
    ],
)
def test_steps_that_differ_by_regime(config_for, labelled_store, policy, expected):
    factors = {model: {} for model in LASTS}
    config = config_for(within=["layer"], steps=policy)
    plan = plan_sweep(config, labelled_store(grid(factors, steps=LASTS), factors))
    chosen = {}
    for r in plan.representations:
        chosen.setdefault(r.key.model, set()).add(r.key.step)
    assert chosen == expected
    left_out = 9 - sum(map(len, expected.values()))
    assert sum(plan.dropped.values()) == left_out
    assert all("compare.steps" in reason for reason in plan.dropped)


def test_a_listed_step_that_a_model_lacks_is_an_error(config_for, labelled_store):
    factors = {model: {} for model in LASTS}
    config = config_for(within=["layer"], steps=[328146])
    with pytest.raises(
        SweepError, match=r"model 'three' has no step 328146; the nearest is 328132"
    ):
        plan_sweep(config, labelled_store(grid(factors, steps=LASTS), factors))


@pytest.mark.parametrize("policy", ["final_common", "all_common"])
def test_no_step_in_common_is_an_error(config_for, labelled_store, policy):
    store = labelled_store([Key("a", 1, "l"), Key("b", 2, "l")], {"a": {}, "b": {}})
    with pytest.raises(SweepError, match=r"no step in common \(their last steps: 1, 2\)"):
        plan_sweep(config_for(within=["layer"], steps=policy), store)


def test_an_incomplete_checkpoint_is_still_the_final_step(config_for, labelled_store):
    keys = [key for m in "ab" for key in (Key(m, 10, "conv"), Key(m, 10, "fc"), Key(m, 20, "conv"))]
    keys.insert(3, Key("a", 20, "fc"))  # b lacks fc at its last step
    keys.append(Key("c", 20, "fc"))
    config = config_for(within=["layer"], steps="final_each", select={"layer": "fc"})
    plan = plan_sweep(config, labelled_store(keys, {m: {} for m in "abc"}))
    assert pairs_of(plan) == [frozenset({Key("a", 20, "fc"), Key("c", 20, "fc")})]
    missing = "missing representations of model 'b' at step 20"
    assert any(reason.startswith(missing) for reason in plan.dropped)


def test_set_valued_factors(config_for, labelled_store):
    factors = {
        "m1": {"tasks": ["distance", "angle"]},
        "m2": {"tasks": ["angle", "distance"]},
        "m3": {"tasks": ["angle"]},
        "m4": {"tasks": ["angle", "angle"]},
        "m5": {"tasks": ["inside"]},
    }
    store = labelled_store(grid(factors), factors)

    def pairs(**fields):
        return {"".join(sorted(k.model[1] for k in p)) for p in pairs_of(plan_sweep(**fields))}

    assert pairs(config=config_for(within=["tasks"]), store=store) == {"12"}
    contains = config_for(select={"tasks": "distance"})
    assert pairs(config=contains, store=store) == {"12"}
    differ = config_for(differ=["tasks"], select={"tasks": ["angle"]})
    assert pairs(config=differ, store=store) == {"13", "14", "23", "24", "34"}


def test_a_number_is_not_its_text_nor_a_boolean(config_for, labelled_store):
    factors = {"a": {"seed": 1}, "b": {"seed": "1"}, "c": {"seed": True}, "d": {"seed": 1.0}}
    plan = plan_sweep(config_for(within=["seed"]), labelled_store(grid(factors), factors))
    assert pairs_of(plan) == [frozenset({Key("a", 0, "l"), Key("d", 0, "l")})]
    assert plan.dropped["groups without a comparison"] == 2


def test_representations_without_a_comparison_are_not_read(config_for, labelled_store):
    # In a group, m3 differs from neither m1 nor m2 in both fields.
    factors = {
        "m1": {"variant": 1, "seed": 1},
        "m2": {"variant": 2, "seed": 2},
        "m3": {"variant": 1, "seed": 2},
    }
    config = config_for(differ=["variant", "seed"])
    plan = plan_sweep(config, labelled_store(grid(factors), factors))
    assert [r.key.model for r in plan.representations] == ["m1", "m2"]
    assert plan.groups[0].pairs.tolist() == [[0, 1]]
    reason = "representations without a partner in the group"
    assert plan.dropped[reason] == 1


# --- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"within": ["layr"]}, "compare.within: unknown field 'layr'; did you mean layer?"),
        ({"differ": ["sead"]}, "compare.differ: unknown field 'sead'; did you mean seed?"),
        ({"select": {"varient": 1}}, "select: unknown field 'varient'; did you mean variant?"),
        ({"select": {"seed": "orgi"}}, "has the text 'orgi'; did you mean \"orig\"?"),
        ({"select": {"seed": "1"}}, "has the text '1'"),
        ({"select": {"layer": "nope"}}, "has the text 'nope' (allowed: \"dense\")"),
        ({"select": {"step": 7}}, "select.step: no representation in"),
        ({"within": ["model"]}, "no two representations agree on model"),
        (
            {"differ": ["layer"]},
            "'layer' must differ, but every representation has the value dense",
        ),
        ({"select": {"model": "1_orig"}}, "the sweep is empty: 1 representation(s)"),
        ({"within": ["seed"], "differ": ["seed"]}, "is in both within and differ"),
        ({"within": ["note"]}, "model '1_1' has no factor 'note' (it has: model, step, layer,"),
        ({"differ": ["note"]}, "compare.differ: model '1_1' has no factor 'note'"),
        ({"select": {"model": "1_orig", "variant": 2}}, "no representation is left"),
    ],
)
def test_refusals(config_for, labelled_store, fields, expected):
    factors = _seeds_of_two_variants()
    factors["2_orig"]["note"] = "failed"
    store = labelled_store(grid(factors, layers=["dense"]), factors)
    with pytest.raises(SweepError) as caught:
        plan_sweep(config_for(**fields), store)
    assert expected in str(caught.value)


def test_a_factor_that_hides_the_key_is_refused_where_its_model_is_selected(
    config_for, labelled_store
):
    """Stores that were written before `Store.write` refused such factors contain them."""
    keys = [Key(model, 0, "l") for model in "abc"]
    store = labelled_store(keys, {"a": {"step": 3}, "b": {}, "c": {}})
    with pytest.raises(SweepError, match="model 'a': a factor named 'step' hides the step of the"):
        plan_sweep(config_for(), store)
    plan = plan_sweep(config_for(select={"model": ["b", "c"]}), store)
    assert pairs_of(plan) == [frozenset(keys[1:])]


def test_an_empty_store_is_refused(config_for, labelled_store):
    with pytest.raises(SweepError, match="the store contains no representations"):
        plan_sweep(config_for(), labelled_store([], {}))


def test_unbiased_needs_four_examples(config_for, labelled_store):
    store = labelled_store([Key("a", 0, "l"), Key("b", 0, "l")], {"a": {}, "b": {}}, n_examples=3)
    with pytest.raises(SweepError, match="needs at least 4 examples, and group 'all' has 3"):
        plan_sweep(config_for(), store)
    assert plan_sweep(config_for(estimator="biased"), store).comparisons == 1


def test_too_few_examples_in_common(config_for, tmp_path):
    with create_store(tmp_path / "store") as store:
        for model, ids in (("a", "wxyz"), ("b", "xyzv")):
            x = np.random.default_rng(0).normal(size=(4, 2))
            store.write(model=model, step=0, layers={"l": x}, example_ids=list(ids))
    with pytest.raises(SweepError, match="needs at least 4 examples, and group 'layer=l' has 3"):
        plan_sweep(config_for(within=["layer"]))
    assert plan_sweep(config_for(within=["layer"], estimator="biased")).comparisons == 1
