"""How often a verdict on the phases of a training is right, on trainings whose truth is planted.

    python benchmarks/verdict_simulation.py [--seeds 100]

Each seed draws weights (and, through a ReLU, activations of 300 examples) of one layer of 32 units
at steps 0, 100, 1100 and 2100, in two runs:

    noise       one state, seen with noise at every step: nothing differs
    drift       a random walk at a constant rate: early is farther from late, by time alone
    differs     early is another state, mid and late are the same but for noise

A verdict is right if it says "more than time" of the third and of no other. "Naive" is the question
by itself, s(early, late) < s(mid, late), without an interval or a baseline. Exits with 1 where a
verdict is wrong in more than 5% of a row.
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
        # A walk whose length stays what it is (the mean reverts), so that no step is special.
        found, now = {}, final
        for step, before in zip(STEPS, (0, *STEPS[:-1]), strict=True):
            kept = np.exp(-(step - before) / 4000)
            now = kept * now + np.sqrt(1 - kept**2) * rng.standard_normal(shape)
            found[step] = now
        return found
    early = rng.standard_normal(shape)
    states = {0: early, 100: 0.8 * early + 0.2 * final, 1100: final, 2100: final}
    return {step: state + 0.3 * rng.standard_normal(shape) for step, state in states.items()}


def similarities(of, runs, rng):
    """Of weights, or of the activations that they make of the same examples."""
    weights = {(run, step): array for run, states in runs.items() for step, array in states.items()}
    if of == "weights":
        return WeightSimilarities(weights)
    x = rng.standard_normal((EXAMPLES, INPUTS))
    arrays = {name: np.maximum(x @ array.T, 0) for name, array in weights.items()}
    return ActivationSimilarities(arrays, np.arange(UNITS))


def verdict(of, kind, seed, *, other):
    """The verdict on one planted training."""
    rng = np.random.default_rng([seed, sorted(TRUTH).index(kind)])
    runs = {run: trajectory(kind, rng) for run in (("main", "other") if other else ("main",))}
    questions = PHASES.questions(STEPS)
    (found,) = verdicts(
        questions, similarities(of, runs, rng), measure="", aligned=of == "activations"
    )
    return found


def says_more_than_time(found):
    """Whether the verdict is that early differs by more than time, in every run there is."""
    return found["conclusion"] in ("more than time, in one run", "more than time, in two runs")


def rates(of, kind, seeds, *, other):
    """Shares of the seeds: verdicts that are right, and naive answers that are."""
    right = naive = 0
    for seed in range(seeds):
        found = verdict(of, kind, seed, other=other)
        right += says_more_than_time(found) == TRUTH[kind]
        naive += (found["question"]["difference"] > 0) == TRUTH[kind]
    return right / seeds, naive / seeds


def main():
    """Print the rates; exits with 1 where a verdict is wrong too often."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=100)
    arguments = parser.parse_args()
    started = time.perf_counter()
    wrong = False
    print(f"{arguments.seeds} seeds a row              right verdicts   right naive answers")
    for of in ("weights", "activations"):
        for kind in TRUTH:
            for other in (False, True):
                right, naive = rates(of, kind, arguments.seeds, other=other)
                runs = "two runs" if other else "one run"
                print(f"{of:12s} {kind:8s} {runs:9s} {right:14.0%} {naive:18.0%}", flush=True)
                wrong |= right < 0.95
    print(f"{time.perf_counter() - started:.0f} s")
    sys.exit(int(wrong))


if __name__ == "__main__":
    main()
