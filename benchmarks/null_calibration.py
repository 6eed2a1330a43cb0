"""How often p-values of independent data are small: 2,000 data sets per row.

    python -m benchmarks.null_calibration [data sets] [n ...]

For each kind of data and estimator: the share of data sets with p <= 0.05 and p <= 0.01, from the
Pearson type III distribution and, where that does not hold, from 199 permutations. A calibrated
test gives 0.05 and 0.01, with standard errors of 0.005 and 0.002 for 2,000 data sets.
"""

from __future__ import annotations

import sys

import numpy as np

import fastcka

PERMUTED = ("heavy tails", "far examples")
KINDS = ("Gaussian", "heavy tails", "low rank", "clusters", "far examples", "wide")


def independent(kind, n, rng):
    """Two independent representations of n examples."""
    shape = (n, 200) if kind == "wide" else (n, 10)
    pair = []
    for _ in range(2):
        x = rng.standard_normal(shape)
        if kind == "heavy tails":
            x = rng.standard_t(2, shape)
        elif kind == "low rank":
            x = rng.standard_normal((n, 1)) @ rng.standard_normal((1, 10)) + 0.05 * x
        elif kind == "clusters":
            x = 0.3 * x + 3 * rng.standard_normal((4, 10))[rng.integers(0, 4, n)]
        elif kind == "far examples":
            x[rng.choice(n, max(1, n // 50), replace=False)] *= 300
        pair.append(x)
    return pair


def shares(kind, n, data_sets, estimator, alternative, seed=0):
    """The shares of p-values up to 0.05 and up to 0.01."""
    rng = np.random.default_rng(seed)
    inference = fastcka.Inference(alternative=alternative)
    p = np.array(
        [
            fastcka.compare(
                independent(kind, n, rng), estimator=estimator, inference=inference, threads=1
            ).p_value[0, 1]
            for _ in range(data_sets)
        ]
    )
    return float((p <= 0.05).mean()), float((p <= 0.01).mean())


def permuted_shares(kind, n, data_sets, estimator, alternative, seed=0):
    """The same for p-values from permutations."""
    rng = np.random.default_rng(seed)
    p = np.array(
        [
            fastcka.permutation_test(
                independent(kind, n, rng),
                n_permutations=199,
                seed=data_set,
                estimator=estimator,
                alternative=alternative,
                threads=1,
            ).p_value[0, 1]
            for data_set in range(data_sets)
        ]
    )
    return float((p <= 0.05).mean()), float((p <= 0.01).mean())


def main(data_sets=2000, sizes=(50, 200)):
    print(f"{data_sets} data sets per row; a calibrated test gives 0.050 and 0.010")
    print("| data | n | estimator | alternative | p <= 0.05 | p <= 0.01 | by permutations |")
    print("|---|---|---|---|---|---|---|")
    for n in sizes:
        for kind in KINDS:
            for estimator in ("biased", "unbiased"):
                for alternative in ("two-sided", "greater"):
                    row = (kind, n, data_sets, estimator, alternative)
                    five, one = shares(*row)
                    permuted = ""
                    if kind in PERMUTED:
                        permuted = "{:.4f}, {:.4f}".format(*permuted_shares(*row))
                    print(
                        f"| {kind} | {n} | {estimator} | {alternative} | {five:.4f} | {one:.4f} "
                        f"| {permuted} |",
                        flush=True,
                    )


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]] or [2000]
    main(given[0], given[1:] or (50, 200))
