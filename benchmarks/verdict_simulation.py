"""How often a verdict on the phases of a training is right, if the truth is known.

    python benchmarks/verdict_simulation.py [--seeds 100]

Each seed simulates two trainings of one layer with 32 units: weights at steps 0, 100, 1100 and
2100, and their activations of 300 examples, through a ReLU.

    noise       the same weights at every step, with noise: nothing differs
    drift       a random walk at a constant rate: early is farther from late, by time alone
    differs     early is another state; mid and late differ only by noise

A verdict is right if it is "more than time" for the third and for no other. The naive answer is
s(early, late) < s(mid, late), without an interval or a baseline. Exits with 1 if more than 5% of
the verdicts of a row are wrong.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

from fastcka.evolution.activations import ActivationSimilarities
from fastcka.evolution.phases import Phases
from fastcka.evolution.verdict import verdicts
from fastcka.evolution.weights import WeightSimilarities

STEPS = (0, 100, 1100, 2100)
PHASES = Phases({"early": 100, "mid": 1100, "late": 2100})
UNITS, INPUTS, EXAMPLES = 32, 24, 300
TRUTH = {"noise": False, "drift": False, "differs": True}


def trajectory(kind, rng):
    """Step -> weights (UNITS, INPUTS)."""
    shape = (UNITS, INPUTS)
    final = rng.standard_normal(shape)
    if kind == "noise":
        return {step: final + 0.3 * rng.standard_normal(shape) for step in STEPS}
    if kind == "drift":
        # The walk reverts to its mean, so its length is constant and no step is special.
        states, now = {}, final
        for step, before in zip(STEPS, (0, *STEPS[:-1]), strict=True):
            kept = np.exp(-(step - before) / 4000)
            now = kept * now + np.sqrt(1 - kept**2) * rng.standard_normal(shape)
            states[step] = now
        return states
    early = rng.standard_normal(shape)
    states = {0: early, 100: 0.8 * early + 0.2 * final, 1100: final, 2100: final}
    return {step: state + 0.3 * rng.standard_normal(shape) for step, state in states.items()}


def similarities(kept, runs, rng):
    """The similarities of weights, or of their activations for the same examples."""
    weights = {(run, step): x for run, states in runs.items() for step, x in states.items()}
    if kept == "weights":
        return WeightSimilarities(weights)
    x = rng.standard_normal((EXAMPLES, INPUTS))
    arrays = {name: np.maximum(x @ one.T, 0) for name, one in weights.items()}
    return ActivationSimilarities(arrays, np.arange(UNITS))


def verdict(kept, kind, seed, *, other):
    """The verdict on one simulated training."""
    rng = np.random.default_rng([seed, sorted(TRUTH).index(kind)])
    runs = {run: trajectory(kind, rng) for run in (("main", "other") if other else ("main",))}
    questions = PHASES.questions(STEPS)
    (answer,) = verdicts(
        questions, similarities(kept, runs, rng), measure="", aligned=kept == "activations"
    )
    return answer


def is_more_than_time(answer):
    """Whether the verdict is that early differs by more than time, in all runs."""
    return answer["conclusion"] in ("more than time, in one run", "more than time, in two runs")


def rates(kept, kind, seeds, *, other):
    """The shares of the seeds with a right verdict and with a right naive answer."""
    right = naive = 0
    for seed in range(seeds):
        answer = verdict(kept, kind, seed, other=other)
        right += is_more_than_time(answer) == TRUTH[kind]
        naive += (answer["question"]["difference"] > 0) == TRUTH[kind]
    return right / seeds, naive / seeds


def main():
    """Print the rates; exit with 1 if verdicts are wrong too often."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=100)
    arguments = parser.parse_args()
    started = time.perf_counter()
    wrong = False
    print(f"{arguments.seeds} seeds per row            right verdicts   right naive answers")
    for kept in ("weights", "activations"):
        for kind in TRUTH:
            for other in (False, True):
                right, naive = rates(kept, kind, arguments.seeds, other=other)
                runs = "two runs" if other else "one run"
                print(f"{kept:12s} {kind:8s} {runs:9s} {right:14.0%} {naive:18.0%}", flush=True)
                wrong |= right < 0.95
    print(f"{time.perf_counter() - started:.0f} s")
    sys.exit(int(wrong))


if __name__ == "__main__":
    main()
