"""The pairs of a study of 63 models, counted in the log of its first analysis."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from fastcka.store import create_store
from fastcka.sweep import plan_sweep
from fastcka.sweep.ledger.shards import divided
from sweep.plan_grids import SEEDS

TASKS = {
    "pt2": [
        "distance, trianglearea",
        "angle, compass",
        "inside, perimeter",
        "crossing, distance",
        "trianglearea, angle",
        "compass, inside",
        "perimeter, crossing",
    ],
    "pt3": [
        "distance, trianglearea, angle",
        "compass, inside, perimeter",
        "crossing, distance, trianglearea",
        "angle, compass, inside",
        "perimeter, crossing, distance",
        "trianglearea, angle, compass",
        "inside, perimeter, crossing",
    ],
}
# The pairs of variants in the log of the study.
DISJOINT = {
    "pt2": ["12", "13", "16", "17", "23", "24", "27", "34", "35", "45", "46", "56", "57", "67"],
    "pt3": ["12", "17", "23", "34", "45", "56", "67"],
}
LAYERS = ("3", "4", "5", "6")
LAST = {"pt2": 328125, "pt3": 328132}
ASCENDING = {"ascending": ["variant", "seed"], "order": {"seed": list(SEEDS)}}


def _model(family, variant, seed):
    return f"{family}-{variant}" + ("" if seed == "orig" else f"_seed{seed}")


def _names(plan):
    """Return the pairs of a plan as a list of sets of (model, layer)."""
    return [frozenset((key.model, key.layer) for key in pair) for pair in plan.pairs()]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Write PT2 and PT3 models 1 to 7 of three seeds, four layers, two steps each."""
    folder = tmp_path_factory.mktemp("study") / "store"
    x = np.arange(8.0).reshape(4, 2)
    with create_store(folder) as store:
        for family, variant, seed in itertools.product(TASKS, range(1, 8), SEEDS):
            for step in (0, LAST[family]):
                store.write(
                    model=_model(family, variant, seed),
                    step=step,
                    layers=dict.fromkeys(LAYERS, x),
                    example_ids=list("abcd"),
                    factors={
                        "family": family,
                        "variant": variant,
                        "seed": seed,
                        "tasks": TASKS[family][variant - 1].split(", "),
                    },
                )
    return folder


def _study_plan(config_for, study, **compare):
    rules = {"within": ["family", "layer"], "disjoint": ["tasks"], "steps": "final_each"}
    return plan_sweep(config_for(store=study, compare=rules | compare))


def _study_pairs(seeds):
    """Return the pairs of the log, for the (lower, upper) seeds in ``seeds``."""
    return {
        frozenset({(_model(family, pair[0], one), layer), (_model(family, pair[1], other), layer)})
        for family, pairs in DISJOINT.items()
        for pair in pairs
        for one, other in seeds
        for layer in LAYERS
    }


def test_disjoint_pairs_of_all_seeds_are_756(config_for, study):
    plan = _study_plan(config_for, study)
    pairs = _names(plan)
    assert len(pairs) == len(set(pairs)) == 756
    assert set(pairs) == _study_pairs(list(itertools.product(SEEDS, repeat=2)))
    # 8 groups of 21 models have 210 pairs each.
    assert (len(plan.groups), plan.n_pairs) == (8, 8 * 210)
    assert plan.dropped_by_rule == {"disjoint tasks": 8 * 210 - 756}


def test_pairs_of_different_seeds_are_504(config_for, study):
    pairs = _names(_study_plan(config_for, study, differ=["seed"]))
    assert len(pairs) == len(set(pairs)) == 504
    assert set(pairs) == _study_pairs(list(itertools.permutations(SEEDS, 2)))


def test_ascending_seeds_give_the_252_pairs_of_the_log(config_for, study):
    plan = _study_plan(config_for, study, differ=["seed"], **ASCENDING)
    pairs = _names(plan)
    assert len(pairs) == len(set(pairs)) == 252
    assert set(pairs) == _study_pairs(list(itertools.combinations(SEEDS, 2)))
    by_family = {
        family: sum(len(g.pairs) for g in plan.groups if g.fields["family"] == family)
        for family in TASKS
    }
    assert by_family == {"pt2": 168, "pt3": 84}
    assert {(key.model[:3], key.step) for pair in plan.pairs() for key in pair} == set(LAST.items())


def test_the_252_pairs_are_the_same_without_differ(config_for, study):
    plan = _study_plan(config_for, study, **ASCENDING)
    assert set(_names(plan)) == _study_pairs(list(itertools.combinations(SEEDS, 2)))
    assert plan.dropped_by_rule == {
        "disjoint tasks": 924,
        "ascending variant, seed": 252 + 252,
    }
    assert plan.dropped["pairs in a group with equal 'seed' (compare.ascending)"] == 252


def test_the_plan_explains_the_pairs_dropped_by_ascending(config_for, study):
    plan = _study_plan(config_for, study, differ=["seed"], **ASCENDING)
    reason = (
        "pairs in a group rising in one and falling in another of variant, seed "
        "(compare.ascending): these are different comparisons from those kept"
    )
    document = json.loads(json.dumps(plan.to_dict()))
    assert document["dropped"][reason] == 252
    # In each group, 19 of 21 models are read: the lowest variant with the highest seed and the
    # highest variant with the lowest seed are in no pair.
    assert (document["representations"], document["groups"], document["comparisons"]) == (
        8 * 19,
        8,
        252,
    )
    assert plan.facts()["nothing shared in a pair"] == "tasks"
    derivation = plan.facts()["pairs"]
    assert derivation.startswith(
        "252: 1,680 within the groups, minus 924 by disjoint tasks, minus 252 by differ seed, "
        "minus 252 by ascending variant, seed\n"
    )
    assert "leaves out comparisons of different models, not repeats" in derivation
    [explanation] = document["explanations"]
    left_out, kept = explanation.split(" and keeps ")
    # The two pairs are of different models and have the same labels, paired differently.
    assert "(variant=1, seed=1) with (variant=2, seed=orig)" in left_out
    assert "(variant=1, seed=orig) with (variant=2, seed=1)" in kept


def test_each_of_4_parts_has_63_of_the_252_comparisons(config_for, study):
    plan = _study_plan(config_for, study, differ=["seed"], **ASCENDING)
    for count in (1, 2, 3, 4):  # 4 groups of 42 and 4 of 21, all of the same cost
        parts = divided(plan.groups, count)
        comparisons = [sum(len(group.pairs) for group in part) for part in parts]
        assert comparisons == [252 // count] * count
