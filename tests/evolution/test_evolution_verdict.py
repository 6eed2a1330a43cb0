"""Verdicts are right on planted trainings, and their baselines support them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import oracle
from fastcka.errors import InputError
from fastcka.evolution.activations import ActivationSimilarities
from fastcka.evolution.phases import Phases, matched_step
from fastcka.evolution.resampling import estimate, parts
from fastcka.evolution.verdict import verdicts
from fastcka.evolution.weights import WeightSimilarities

ROOT = Path(__file__).parents[2]


def simulation():
    path = ROOT / "benchmarks" / "verdict_simulation.py"
    spec = importlib.util.spec_from_file_location("verdict_simulation", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("tensors", ["weights", "activations"])
@pytest.mark.parametrize("other", [False, True])
def test_planted_trainings(tensors, other):
    simulated = simulation()
    for kind in simulated.TRUTH:
        right, _ = simulated.rates(tensors, kind, 12, other=other)
        print(f"{tensors} {kind}: {right:.0%} right of 12 seeds")
        assert right >= 11 / 12


def test_the_question_alone_is_wrong_for_every_drift():
    """The reason for baselines: the inequality also holds for a drift without phases."""
    simulated = simulation()
    drifts = [simulated.verdict("weights", "drift", seed, other=False) for seed in range(12)]
    assert all(v["question"]["answer"] == "yes" for v in drifts)
    assert {v["conclusion"] for v in drifts} == {"time may explain it"}
    # An interval around zero does not show that the changes are equal.
    undecided = [v for v in drifts if v["baselines"]["time_matched"]["answer"] == "undecided"]
    assert undecided
    assert all("do not show whether the network changed more" in v["words"] for v in undecided)


def planted(steps, early=1.0, rng=None):
    """Weights of one state before step 500 and of another one after it, with a little noise."""
    rng = rng or np.random.default_rng(5)
    first, last = rng.standard_normal((2, 32, 6))
    return {
        step: (early * first if step < 500 else last) + 0.1 * rng.standard_normal((32, 6))
        for step in steps
    }


def verdict_of(main, other=None, phases=(100, 1000, 2000), aligned=False):
    names = {("main", step): weights for step, weights in main.items()}
    names |= {("other", step): weights for step, weights in (other or {}).items()}
    questions = Phases(dict(zip(("early", "mid", "late"), phases, strict=True))).questions(main)
    (verdict,) = verdicts(questions, WeightSimilarities(names), measure="cosine", aligned=aligned)
    return verdict


def test_a_verdict_without_any_baseline():
    verdict = verdict_of(planted((300, 1900, 2000)), phases=(300, 1900, 2000))
    assert verdict["conclusion"] == "no baseline"
    assert "These checkpoints allow no baseline" in verdict["words"]
    assert not verdict["baselines"]["time_matched"]["available"]
    assert "50 to 100 updates after step 300" in verdict["baselines"]["time_matched"]["why"]


def test_a_verdict_without_a_control_for_time():
    verdict = verdict_of(planted((0, 300, 1900, 2000)), phases=(300, 1900, 2000))
    assert verdict["conclusion"] == "no control for time"
    assert "nothing follows" in verdict["words"]
    assert verdict["baselines"]["step_0"]["answer"] == "undecided"
    assert "early is no more similar to late than step 0" in verdict["words"]


def test_the_other_run_decides_what_is_concluded():
    steps = (0, 100, 1000, 2000)
    main = planted(steps)
    alone = verdict_of(main)
    assert alone["conclusion"] == "more than time, in one run"
    assert "no second seed was given" in alone["words"]
    assert "does not show two kinds of features" in alone["words"]
    assert alone["baselines"]["time_matched"]["early_window"] == [100, 1000]
    assert alone["baselines"]["time_matched"]["late_window"] == [1000, 2000]
    same = verdict_of(main, planted(steps, rng=np.random.default_rng(6)))
    assert same["conclusion"] == "more than time, in two runs"
    flat = {
        step: main[2000] + 0.1 * np.random.default_rng(step).standard_normal((32, 6))
        for step in steps
    }
    unlike = verdict_of(main, flat)
    assert unlike["conclusion"] == "more than time, but not in the other run"
    # The units of two runs have different orders, so there is no difference.
    assert "difference" not in unlike["baselines"]["other_seed"]


def test_early_may_be_more_similar():
    main = planted((0, 100, 1000, 2000))
    main[100], main[1000] = main[1000], main[100]
    verdict = verdict_of(main)
    assert verdict["conclusion"] == "mid is not closer"
    assert verdict["question"]["answer"] == "no"


def test_rounding_does_not_distinguish_equal_states(rng):
    x = rng.standard_normal((64, 12)).astype(np.float32)
    arrays = {("main", step): x for step in (1000, 2000)}
    arrays["main", 100] = x + np.float32(1e-4) * rng.standard_normal(x.shape).astype(np.float32)
    questions = Phases({"early": 100, "mid": 1000, "late": 2000}).questions([100, 1000, 2000])
    similarities = ActivationSimilarities(arrays, np.arange(12))
    (verdict,) = verdicts(questions, similarities, measure="", aligned=True)
    assert verdict["conclusion"] == "undecided"


def test_few_units_give_no_interval(rng):
    main = {step: rng.standard_normal((5, 4)) for step in (100, 1000, 2000)}
    verdict = verdict_of(main)
    assert verdict["conclusion"] == "no interval"
    assert verdict["question"]["interval"] is None
    assert "at least 8 rows (filters), got 5" in verdict["words"]


def test_the_jackknife_by_hand(rng):
    """Each of 16 rows is left out once: the textbook formula, with t of 15 degrees of freedom."""
    main = {step: rng.standard_normal((16, 3)) + step / 1000 for step in (100, 1000, 2000)}

    def difference(keep):
        e, m, late = (main[step][keep].ravel() for step in (100, 1000, 2000))
        cosine = [v @ late / np.linalg.norm(v) / np.linalg.norm(late) for v in (m, e)]
        return cosine[0] - cosine[1]

    left_out = [difference(np.arange(16) != row) for row in range(16)]
    error = np.sqrt(15 / 16 * sum((d - np.mean(left_out)) ** 2 for d in left_out))
    value, reach = difference(np.arange(16) >= 0), 2.13145 * error
    question = verdict_of(main)["question"]
    assert question["difference"] == pytest.approx(value)
    np.testing.assert_allclose(question["interval"], [value - reach, value + reach], atol=2e-6)


def test_resampled_cka_by_the_textbook(rng):
    arrays = {("main", s): rng.standard_normal((40, 9)) for s in (1, 2)}
    similarities = ActivationSimilarities(arrays, np.repeat(np.arange(3), 3), seed=4)
    names, whole, (examples, columns) = similarities.matrices()
    a, b = (arrays[name] for name in names)
    assert whole[0, 1] == pytest.approx(oracle.cka(a, b, "unbiased"), abs=1e-6)
    rows = parts(np.arange(40), 4)
    assert sorted(np.bincount(rows).tolist()) == [2] * 8 + [3] * 8
    for part in range(16):
        expected = oracle.cka(a[rows != part], b[rows != part], "unbiased")
        assert examples[part, 0, 1] == pytest.approx(expected, abs=1e-6)
    without_unit = {round(float(value), 6) for value in columns[:, 0, 1]}
    units = np.repeat(np.arange(3), 3)  # the features of a unit are left out together
    kept = [oracle.cka(a[:, units != u], b[:, units != u], "unbiased") for u in range(3)]
    assert without_unit == {round(float(value), 6) for value in kept}


def test_the_two_variances_add():
    examples, units = np.array([0.0, 1.0] * 8), np.array([0.0, 2.0] * 5)
    variances = [15 / 16 * 16 * 0.25, 9 / 10 * 10 * 1.0]
    total = estimate(5.0, [examples, units], ["examples", "units"])
    reach = 2.262157 * np.sqrt(sum(variances))  # t of 10 - 1 degrees of freedom
    assert total.high - 5.0 == pytest.approx(reach, abs=2e-6)
    assert estimate(np.nan, [examples], ["examples"]).answer == "undefined"


def test_permuted_weights_exactly(rng):
    from itertools import permutations

    x, y = rng.standard_normal((2, 5)) + 0.5
    null = WeightSimilarities({("main", 1): x[:, None], ("main", 2): y[:, None]}).permuted(
        ("main", 1), ("main", 2)
    )
    norm = np.linalg.norm(x) * np.linalg.norm(y)
    every = [x @ y[list(order)] / norm for order in permutations(range(5))]
    assert null["mean"] == pytest.approx(np.mean(every))
    assert null["sd"] == pytest.approx(np.std(every))


def test_permuted_examples(rng):
    x = rng.standard_normal((50, 8))
    arrays = {("main", 1): x, ("main", 2): x + rng.standard_normal(x.shape)}
    null = ActivationSimilarities(arrays, np.arange(8)).permuted(("main", 1), ("main", 2))
    assert null["p"] == pytest.approx(1 / 40)
    assert abs(null["mean"]) < 3 * null["sd"]
    assert null["mean"] + 5 * null["sd"] < oracle.cka(*arrays.values(), "unbiased")


def test_the_window_of_equal_length():
    assert matched_step([0, 100, 600, 1000, 1100, 1200, 2000], 100, 1000) == 1100
    assert matched_step([0, 100, 1000, 2000], 100, 1000) == 1000
    assert matched_step([0, 100, 599, 2000], 100, 1000) is None  # less than half the length
    assert matched_step([100, 600], 100, 1000) == 600


def test_phases():
    phases = Phases({"late": 9, "early": 1, "mid": 5, "first": 0})
    assert list(phases.steps) == ["first", "early", "mid", "late"]
    assert list(phases.pairs())[:2] == ["first_vs_early", "first_vs_mid"]
    assert len(phases.pairs()) == 6
    asked = phases.questions([0, 1, 5, 9])
    assert [question.names for question in asked] == [
        ("first", "early", "late"),
        ("first", "mid", "late"),
    ]
    with pytest.raises(InputError, match="expected a different step for each phase"):
        Phases({"early": 1, "mid": 1})
