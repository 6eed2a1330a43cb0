"""The planner against brute force, and the traps that real sweeps fell into."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from fastcka.errors import SweepError
from fastcka.store import Key, create_store
from fastcka.sweep import plan_sweep
from fastcka.sweep.dropped import left_out_text


def _grid(models, *, steps=(0,), layers=("l",)):
    """Return keys of every model at every step and layer; ``steps`` may be a dict by model."""
    return [
        Key(model, step, layer)
        for model in sorted(models)
        for step in (steps[model] if isinstance(steps, dict) else steps)
        for layer in layers
    ]


def _pairs(plan):
    return [frozenset(pair) for pair in plan.pairs()]


# --- brute force -------------------------------------------------------------------------------


def _allowed_steps(policy, steps):
    """Say for one model's steps, by the words of the documentation, which take part."""
    common = set.intersection(*map(set, steps.values()))
    by_policy = {
        "all": lambda own: set(own),
        "final_each": lambda own: {sorted(own)[-1]},
        "final_common": lambda own: {sorted(common)[-1]} if common else None,
        "all_common": lambda own: common or None,
    }
    if isinstance(policy, str):
        return {model: by_policy[policy](own) for model, own in steps.items()}
    return {model: set(policy) if set(policy) <= set(own) else None for model, own in steps.items()}


def _equal(a, b):
    if isinstance(a, list) and isinstance(b, list):
        return sorted(a) == sorted(b)
    return type(a) is type(b) and a == b


def _brute_force(keys, factors, config):
    """Enumerate the comparisons by looking at every unordered pair of keys; None for an error."""
    labels = {key: {**key._asdict(), **factors[key.model]} for key in keys}

    def selected(key):
        for field, allowed in config.select.items():
            value = labels[key][field]
            values = value if isinstance(value, list) else [value]
            if not any(_equal(one, other) for one in values for other in allowed):
                return False
        return True

    kept = [key for key in keys if selected(key)]
    if not kept:
        return None
    steps = {}
    for key in keys:
        step_wanted = key.step in config.select.get("step", [key.step])
        if any(other.model == key.model for other in kept) and step_wanted:
            steps.setdefault(key.model, set()).add(key.step)
    chosen = _allowed_steps(config.compare.steps, steps)
    if None in chosen.values():
        return None
    kept = [key for key in kept if key.step in chosen[key.model]]
    found = {
        frozenset((a, b))
        for a, b in itertools.combinations(kept, 2)
        if all(_equal(labels[a][f], labels[b][f]) for f in config.compare.within)
        and not any(_equal(labels[a][f], labels[b][f]) for f in config.compare.differ)
    }
    return found or None


def _random_plan(rng, config_for):
    models = [f"m{number}" for number in range(rng.integers(1, 6))]
    tasks = [["x"], ["y"], ["x", "y"], ["y", "x"], ["x", "x"]]
    seeds = ["orig", 1, 2, "1", True]
    factors = {
        model: {
            "family": str(rng.choice(["mlp", "cnn"])),
            "seed": seeds[rng.integers(len(seeds))],
            "tasks": tasks[rng.integers(len(tasks))],
        }
        for model in models
    }
    keys = []
    for model in models:
        for step in sorted(rng.choice([0, 10, 20, 30], size=rng.integers(1, 5), replace=False)):
            own = rng.choice(["l1", "l2", "l3"], size=rng.integers(1, 4), replace=False)
            keys += [Key(model, int(step), str(layer)) for layer in sorted(own)]
    fields = ["model", "step", "layer", "family", "seed", "tasks"]
    rng.shuffle(fields)
    cut = rng.integers(0, 3)
    policies = ["all", "final_each", "final_common", "all_common", [10], [0, 20]]
    select = {}
    for field in rng.choice(fields, size=rng.integers(0, 3), replace=False):
        present = {
            repr(one): one
            for key in keys
            for value in [{**key._asdict(), **factors[key.model]}[field]]
            for one in (value if isinstance(value, list) else [value])
        }
        count = rng.integers(1, len(present) + 1)
        names = rng.choice(sorted(present), size=count, replace=False)
        select[str(field)] = [present[name] for name in names]
    config = config_for(
        within=fields[:cut],
        differ=fields[cut : cut + rng.integers(0, 3)],
        steps=policies[rng.integers(len(policies))],
        select=select,
    )
    return keys, factors, config


def test_500_random_plans_equal_brute_force(config_for, labelled_store):
    rng = np.random.default_rng(2)
    outcomes = {"compared": 0, "refused": 0}
    for _ in range(500):
        keys, factors, config = _random_plan(rng, config_for)
        expected = _brute_force(keys, factors, config)
        if expected is None:
            with pytest.raises(SweepError):
                plan_sweep(config, labelled_store(keys, factors))
            outcomes["refused"] += 1
            continue
        plan = plan_sweep(config, labelled_store(keys, factors))
        pairs = _pairs(plan)
        assert len(pairs) == len(set(pairs)) == plan.comparisons
        assert set(pairs) == expected
        read = [r.key for r in plan.representations]
        assert len(read) == len(set(read))
        assert set(read) == {key for pair in expected for key in pair}
        outcomes["compared"] += 1
    # Both branches must be worth something.
    assert min(outcomes.values()) > 100, outcomes


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
    pairs = _pairs(plan_sweep(config, labelled_store(_grid(factors), factors)))
    one = frozenset({Key("1_orig", 0, "l"), Key("2_1", 0, "l")})
    other = frozenset({Key("1_1", 0, "l"), Key("2_orig", 0, "l")})
    assert one in pairs
    assert other in pairs
    # 3 x 3 pairs of seeds between the two variants, less the 3 of equal seeds.
    assert len(pairs) == 6


def test_seven_variants_of_three_seeds_give_all_their_cross_seed_pairs(config_for, labelled_store):
    factors = {
        f"v{variant}_{seed}": {"variant": variant, "seed": seed}
        for variant in range(7)
        for seed in ("orig", 1, 2)
    }
    keys = _grid(factors, layers=("3", "4", "5", "6"))
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
    plan = plan_sweep(config_for(), labelled_store(_grid(factors, steps=(0, 5)), factors))
    assert plan.comparisons == 12 * 11 // 2
    assert all(len(pair) == 2 for pair in _pairs(plan))
    assert [group.name for group in plan.groups] == ["all"]


LASTS = {"one": [0, 319956, 328146], "two": [0, 319956, 328125], "three": [0, 319956, 328132]}


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
    plan = plan_sweep(config, labelled_store(_grid(factors, steps=LASTS), factors))
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
        SweepError, match=r"model 'three' has no step 328146; its nearest is 328132"
    ):
        plan_sweep(config, labelled_store(_grid(factors, steps=LASTS), factors))


@pytest.mark.parametrize("policy", ["final_common", "all_common"])
def test_no_step_in_common_is_an_error(config_for, labelled_store, policy):
    store = labelled_store([Key("a", 1, "l"), Key("b", 2, "l")], {"a": {}, "b": {}})
    with pytest.raises(SweepError, match=r"no step in common \(their last steps: 1, 2\)"):
        plan_sweep(config_for(within=["layer"], steps=policy), store)


def test_half_a_checkpoint_does_not_make_an_earlier_step_the_final_one(config_for, labelled_store):
    keys = [key for m in "ab" for key in (Key(m, 10, "conv"), Key(m, 10, "fc"), Key(m, 20, "conv"))]
    keys.insert(3, Key("a", 20, "fc"))  # b lacks fc at its last step
    keys.append(Key("c", 20, "fc"))
    config = config_for(within=["layer"], steps="final_each", select={"layer": "fc"})
    plan = plan_sweep(config, labelled_store(keys, {m: {} for m in "abc"}))
    assert _pairs(plan) == [frozenset({Key("a", 20, "fc"), Key("c", 20, "fc")})]
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
    store = labelled_store(_grid(factors), factors)

    def pairs(**fields):
        return {"".join(sorted(k.model[1] for k in p)) for p in _pairs(plan_sweep(**fields))}

    assert pairs(config=config_for(within=["tasks"]), store=store) == {"12"}
    contains = config_for(select={"tasks": "distance"})
    assert pairs(config=contains, store=store) == {"12"}
    differ = config_for(differ=["tasks"], select={"tasks": ["angle"]})
    assert pairs(config=differ, store=store) == {"13", "14", "23", "24", "34"}


def test_a_number_is_not_its_text_nor_a_boolean(config_for, labelled_store):
    factors = {"a": {"seed": 1}, "b": {"seed": "1"}, "c": {"seed": True}, "d": {"seed": 1.0}}
    plan = plan_sweep(config_for(within=["seed"]), labelled_store(_grid(factors), factors))
    assert _pairs(plan) == [frozenset({Key("a", 0, "l"), Key("d", 0, "l")})]
    assert plan.dropped["groups without a comparison"] == 2


def test_representations_without_a_comparison_are_not_read(config_for, labelled_store):
    # In a group, m3 differs from neither m1 nor m2 in both fields.
    factors = {
        "m1": {"variant": 1, "seed": 1},
        "m2": {"variant": 2, "seed": 2},
        "m3": {"variant": 1, "seed": 2},
    }
    config = config_for(differ=["variant", "seed"])
    plan = plan_sweep(config, labelled_store(_grid(factors), factors))
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
        ({"within": ["model"]}, "no two representations are equal in model"),
        ({"differ": ["layer"]}, "'layer' must differ, and all have the value dense"),
        ({"select": {"model": "1_orig"}}, "the sweep is empty: 1 representation(s)"),
        ({"within": ["seed"], "differ": ["seed"]}, "stands in within and in differ"),
        ({"within": ["note"]}, "model '1_1' has no factor 'note' (it has: model, step, layer,"),
        ({"differ": ["note"]}, "compare.differ: model '1_1' has no factor 'note'"),
        ({"select": {"model": "1_orig", "variant": 2}}, "no representation is left"),
    ],
)
def test_refusals(config_for, labelled_store, fields, expected):
    factors = _seeds_of_two_variants()
    factors["2_orig"]["note"] = "failed"
    store = labelled_store(_grid(factors, layers=["dense"]), factors)
    with pytest.raises(SweepError) as caught:
        plan_sweep(config_for(**fields), store)
    assert expected in str(caught.value)


def test_a_factor_that_hides_the_key_is_refused_where_its_model_is_selected(
    config_for, labelled_store
):
    """As stores hold it that were written before `Store.write` refused it."""
    keys = [Key(model, 0, "l") for model in "abc"]
    store = labelled_store(keys, {"a": {"step": 3}, "b": {}, "c": {}})
    with pytest.raises(SweepError, match="model 'a': a factor named 'step' hides the step of the"):
        plan_sweep(config_for(), store)
    plan = plan_sweep(config_for(select={"model": ["b", "c"]}), store)
    assert _pairs(plan) == [frozenset(keys[1:])]


def test_an_empty_store_is_refused(config_for, labelled_store):
    with pytest.raises(SweepError, match="the store holds no representation"):
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


# --- what a plan tells -------------------------------------------------------------------------


def test_the_plan_as_json_and_in_words(config_for, trained):
    config = config_for(
        within=["layer", "step"], differ=["seed"], select={"variant": "b"}, steps="final_each"
    )
    plan = plan_sweep(config)
    told = json.loads(json.dumps(plan.to_dict()))
    assert (told["representations"], told["groups"], told["comparisons"]) == (6, 2, 6)
    assert told["dropped"] == {
        "representations outside select.variant": 12,
        "representations at steps that compare.steps (final_each) leaves out": 6,
    }
    # 3 seeds of 40 examples: conv 5 features of float32, fc 9 of float64.
    assert told["bytes_to_read"] == 3 * 40 * (5 * 4 + 9 * 8)
    assert told["bytes_memory"] >= told["bytes_to_read"]
    conv, fc = told["group_plans"]
    assert (conv["name"], fc["name"]) == ("layer=conv, step=90", "layer=fc, step=90")
    assert conv["route"] in ("F", "G")
    assert 0 < told["seconds"] < 1
    # conv and fc hold 3 seeds each.
    assert (told["pairs_before_rules"], told["dropped_by_rule"]) == (6, {"differ seed": 0})
    words = plan.explain()
    assert "(24 representations)\n" in words
    assert "\ncomparisons: 6\nrepresentations: 6\ngroups: 2\n" in words
    assert "left out: 12 representations outside select.variant" in words


def test_the_rules_of_a_plan_in_words(config_for, trained):
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
    assert list(facts.items())[5:15] == [
        ("examples", facts["examples"]),
        ("equal in a group", "layer"),
        ("different in a pair", "model"),
        ("equal in a pair", "step"),
        ("something shared in a pair", "tasks"),
        ("rising together in a pair", "variant, seed"),
        ("left", 'variant=["a"], seed=["orig", 1]'),
        ("right", "all"),
        ("steps", "all: 0"),
        ("derivation", facts["derivation"]),
    ]
    # A layer has 6 models, so 15 pairs. 4 models are not on the left: 6 pairs. Of the other 9, 3
    # are of two seeds of a, 2 of one seed, and (a 1, b orig) falls: 3 remain.
    assert facts["derivation"].splitlines()[0] == (
        "30 within the groups, less 12 by left and right, less 0 by same step, less 0 by "
        "overlapping tasks, less 0 by differ model, less 12 by ascending variant, seed: 6"
    )


def test_a_plan_is_the_same_every_time(config_for, trained):
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


def test_what_is_left_out_is_named_and_counted_in_words(config_for, labelled_store):
    factors = {
        "m1": {"family": "mlp", "seed": 1},
        "m2": {"family": "mlp", "seed": 2},
        "m3": {"family": "mlp", "seed": 2},
        "lone": {"family": "lone", "seed": 1},
    }
    config = config_for(within=["family", "layer", "step"], differ=["seed"])
    plan = plan_sweep(config, labelled_store(_grid(factors, layers=["a"]), factors))
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


def test_three_examples_are_enough(config_for, labelled_store):
    factors = {f"m{number}": {} for number in range(9)}
    config = config_for(within=["layer"], select={"model": ["m0", "m1"]})
    plan = plan_sweep(config, labelled_store(_grid(factors), factors))
    assert plan.dropped == {"representations outside select.model": 7}
    assert plan.dropped_examples["representations outside select.model"] == [
        f"model=m{number}, step=0, layer=l" for number in (2, 3, 4)
    ]


def test_many_reasons_are_folded():
    counts = {f"groups of kind {number}": 2 for number in range(12)}
    assert left_out_text(counts).splitlines()[-2:] == [
        "2 groups of kind 9",
        "and 2 more reasons; --json has all",
    ]


def test_final_each_within_step_is_hinted_at(config_for, labelled_store):
    factors = {model: {} for model in LASTS}
    store = labelled_store(_grid(factors, steps=LASTS), factors)
    with pytest.raises(SweepError, match=r"is empty: .*these differ \(328125, 328132, 328146\)"):
        plan_sweep(config_for(within=["layer", "step"], steps="final_each"), store)
    steps = LASTS | {"two": LASTS["one"]}
    store = labelled_store(_grid(factors, steps=steps), factors)
    plan = plan_sweep(config_for(within=["layer", "step"], steps="final_each"), store)
    assert plan.comparisons == 1
    assert "these differ (328132, 328146); `step` in compare.within" in plan.facts()["hint"]
    assert plan_sweep(config_for(within=["layer"], steps="final_each"), store).hint == ""
    assert plan_sweep(config_for(within=["step"], steps="final_common"), store).hint == ""
