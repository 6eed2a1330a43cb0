"""Coverage of the jackknife's 95% intervals, on Gaussian data whose CKA is known.

X has independent standard normal features, and Y = a X + sqrt(1 - a^2) W with independent W. The
CKA of the population is |Sxy|^2 / (|Sxx| |Syy|) = a^2. Both estimators tend to it for many
examples.

    python -m benchmarks.coverage_simulation [--datasets 600] [--features 5] [--folds 20]
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np

import fastcka


def covered(x, y, truth, folds):
    """Whether the intervals of the biased and the unbiased estimate contain the truth."""
    result = fastcka.compare([x, y], threads=1, inference=fastcka.Inference(folds=folds))
    both = [replace(result, estimator=name) for name in ("biased", "unbiased")]
    return [bool(each.ci_low[0, 1] <= truth <= each.ci_high[0, 1]) for each in both]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--datasets", type=int, default=600)
    parser.add_argument("--features", type=int, default=5)
    parser.add_argument("--folds", type=int, default=20)
    arguments = parser.parse_args()
    started = time.perf_counter()
    error = 100 * (0.05 * 0.95 / arguments.datasets) ** 0.5
    print(
        f"{arguments.datasets} data sets per row, {arguments.features} features, "
        f"{arguments.folds} folds; standard error of 95%: {error:.2f} points"
    )
    print("examples   CKA   biased   unbiased")
    for n in (50, 200, 1000):
        for truth in (0.0, 0.2, 0.5, 0.9):
            rng = np.random.default_rng([n, round(10 * truth), arguments.features])
            hits = np.zeros(2)
            for _ in range(arguments.datasets):
                x, w = rng.standard_normal((2, n, arguments.features))
                y = truth**0.5 * x + (1 - truth) ** 0.5 * w
                hits += covered(x, y, truth, arguments.folds)
            biased, unbiased = 100 * hits / arguments.datasets
            print(f"{n:8d}{truth:6.1f}{biased:8.1f}%{unbiased:10.1f}%", flush=True)
    print(f"{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
