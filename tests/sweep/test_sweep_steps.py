"""The policies for steps: values by hand, brute force, and refusals."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from fastcka.errors import SweepError
from fastcka.store import Key
from fastcka.sweep import plan_sweep
from fastcka.sweep.question.steps import chosen_steps, parse_steps, steps_text

# A real study: every 8204 steps, and a last step that differs between the regimes.
RUNS = {
    name: [*range(0, 328_000, 8204), last]
    for name, last in (("one", 328146), ("two", 328125), ("three", 328132))
}


def _chosen(policy, steps):
    chosen, _ = chosen_steps(parse_steps(policy), steps)
    return chosen


def test_nearest_selects_a_step_of_each_model():
    near = {"nearest": {"step": 328130, "tolerance": 16}}
    assert _chosen(near, RUNS) == {"one": {328146}, "two": {328125}, "three": {328132}}
    exact = {"nearest": {"step": 8204, "tolerance": 0}}
    assert _chosen(exact, RUNS) == {model: {8204} for model in RUNS}


def test_nothing_within_the_tolerance_is_an_error():
    with pytest.raises(
        SweepError,
        match=r"compare.steps.nearest: model 'one' has no step within 15 of 328130; its nearest "
        r"is 328146, 16 away",
    ):
        _chosen({"nearest": {"step": 328130, "tolerance": 15}}, RUNS)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (0, {"one": {0}, "two": {0}, "three": {0}}),
        # The halves are 164073, 164062.5 and 164066; the nearest step is 20 x 8204 = 164080.
        (0.5, {"one": {164080}, "two": {164080}, "three": {164080}}),
        (1, {"one": {328146}, "two": {328125}, "three": {328132}}),
        ([0.5, 1.0], {"one": {164080, 328146}, "two": {164080, 328125}, "three": {164080, 328132}}),
    ],
)
def test_a_fraction_of_each_models_run(part, expected):
    assert _chosen({"fraction": part}, RUNS) == expected


def test_fractions_are_exact_decimals():
    # 0.07 of 50 is 3.5, between two steps; in binary floats it is 3.5000000000000004.
    with pytest.raises(SweepError, match="the stored steps 3 and 4 are equally near"):
        _chosen({"fraction": 0.07}, {"m": [0, 3, 4, 50]})
    assert _chosen({"fraction": 0.071}, {"m": [0, 3, 4, 50]}) == {"m": {4}}


def test_near_steps_equal_brute_force():
    rng = np.random.default_rng(5)
    outcomes = {"chosen": 0, "tie": 0, "far": 0}
    for _ in range(400):
        stored = sorted(rng.choice(30, size=rng.integers(1, 8), replace=False).tolist())
        if rng.integers(2):
            target, tolerance = Decimal(int(rng.integers(30))), int(rng.integers(30))
            policy = {"nearest": {"step": int(target), "tolerance": tolerance}}
        else:
            part = round(float(rng.random()), 2)
            target, tolerance = Decimal(str(part)) * stored[-1], 60
            policy = {"fraction": part}
        by_distance = sorted(stored, key=lambda step: abs(step - target))
        distances = [abs(step - target) for step in by_distance]
        if distances[0] > tolerance:
            outcome = "far"
        else:
            outcome = "tie" if distances[:1] == distances[1:2] else "chosen"
        outcomes[outcome] += 1
        if outcome == "chosen":
            assert _chosen(policy, {"m": stored}) == {"m": {by_distance[0]}}
        else:
            with pytest.raises(SweepError, match={"tie": "equally", "far": "within"}[outcome]):
                _chosen(policy, {"m": stored})
    assert min(outcomes.values()) > 10, outcomes


def test_two_fractions_of_one_stored_step_are_refused():
    with pytest.raises(
        SweepError,
        match=r"0\.8 and 0\.9 of the run are the same stored step 100 of model 'm' \(steps: 0, 50, "
        r"100\)",
    ):
        _chosen({"fraction": [0.1, 0.8, 0.9]}, {"m": [0, 50, 100]})


def test_two_steps_equally_near_are_refused():
    with pytest.raises(
        SweepError, match=r"nearest: model 'm': the stored steps 90 and 110 .* \(10 away\)"
    ):
        _chosen({"nearest": {"step": 100, "tolerance": 10}}, {"m": [90, 110]})
    assert _chosen({"nearest": {"step": 101, "tolerance": 10}}, {"m": [90, 110]}) == {"m": {110}}


def test_the_largest_distance_from_the_requested_steps():
    runs = {"a": [0, 90, 200], "b": [0, 104, 200]}
    for policy, expected in (
        (
            {"nearest": {"step": 100, "tolerance": 10}},
            "nearest to 100, within 10: 90, 104 (largest distance: model 'a' at step 90, 10 away)",
        ),
        (
            {"fraction": [0.5, 1]},
            "nearest to 0.5, 1.0 of each model's last step: 90, 104, 200 "
            "(largest distance: model 'a' at step 90, 10 away)",
        ),
        ({"fraction": 1}, "nearest to 1.0 of each model's last step: 200 (all exact)"),
        ("all_common", "all_common: 0, 200"),
        ([0, 200], "0, 200"),
    ):
        _, text = chosen_steps(parse_steps(policy), runs)
        assert text == expected
    assert steps_text((0, 10)) == "0, 10"


@pytest.mark.parametrize(
    "policy",
    [
        {"nearest": 100},
        {"nearest": {"step": 100}},
        {"nearest": {"step": 100, "tolerance": -1}},
        {"nearest": {"step": -1, "tolerance": 1}},
        {"nearest": {"step": 1.5, "tolerance": 1}},
        {"nearest": {"step": True, "tolerance": 1}},
        {"nearest": {"step": 1, "tolerance": 1, "ties": "low"}},
        {"nearest": {"step": 1, "tolerance": 1}, "fraction": 0.5},
        {"fraction": 1.1},
        {"fraction": -0.1},
        {"fraction": True},
        {"fraction": "0.5"},
        {"fraction": []},
        {"fraction": [0.5, 0.5]},
        {"fraction": [1, 1.0]},
        {"fraction": float("nan")},
        {},
        None,
    ],
)
def test_malformed_policies(policy):
    with pytest.raises(ValueError, match=r"expected 'all', .*\{nearest: \{step: S, tolerance: T\}"):
        parse_steps(policy)


def test_a_policy_survives_the_record_of_a_run(config_for):
    for steps in ({"nearest": {"step": 5, "tolerance": 1}}, {"fraction": [0.5]}, [0, 5], "all"):
        dumped = config_for(steps=steps).model_dump(mode="json")
        assert dumped["compare"]["steps"] == steps
        assert config_for(compare=dumped["compare"]).compare == config_for(steps=steps).compare


def test_steps_of_a_plan(config_for, labelled_store):
    keys = [Key(model, step, "l") for model, steps in RUNS.items() for step in steps]
    store = labelled_store(keys, {model: {} for model in RUNS})
    plan = plan_sweep(config_for(within=["layer"], steps={"fraction": 0.5}), store)
    assert [tuple(r.key) for r in plan.representations] == [(m, 164080, "l") for m in RUNS]
    assert plan.facts()["steps"] == (
        "nearest to 0.5 of each model's last step: 164080 (largest distance: model 'two' at step "
        "164080, 17.5 away)"
    )
    finals = plan_sweep(config_for(within=["layer"], steps="final_each"), store)
    assert finals.facts()["steps"] == "final_each: 328125, 328132, 328146"
    every = plan_sweep(config_for(within=["layer"]), store)
    assert every.facts()["steps"] == "all: 0, 8204, 16408, 24612, 32816, 41020, ... (43 steps)"
    assert plan_sweep(config_for(steps=[8204, 0]), store).facts()["steps"] == "8204, 0"
    reason = "representations at steps that compare.steps (nearest to 0.5 of each model's last step"
    assert [count for why, count in plan.dropped.items() if why.startswith(reason)] == [3 * 40]
    near = {"nearest": {"step": 328130, "tolerance": 20}}
    with pytest.raises(
        SweepError, match=r"empty: .*nearest to 328130, within 20.*\(328125, 328132"
    ):
        plan_sweep(config_for(within=["step"], steps=near), store)
