"""Error rates of the comparison of groups of pairs, on data whose truth is known.

The value of a pair of models is the sum of the effects of its two models, and noise. The groups do
not differ, so a test at 5% should reject 5% of the data sets, and a 95% interval should contain
zero in 95% of them. fastcka permutes model labels and bootstraps models. Welch's t-test over pairs
and the plain node bootstrap (Snijders and Borgatti 1999) are printed to show why it uses neither.

    python benchmarks/null_simulation.py [--datasets 1500] [--permutations 999]

In the rows "scaled" the groups differ: each model multiplies all its similarities by a factor, and
pairs of one variant are more similar. They show that the interval, which assumes that the effects
of models are added, is too narrow for few models.

Exits with 1 if the permutation test's rate over all data sets of a question is not 4 to 6%.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
from scipy import stats

from fastcka.stats import PairTable, compare_pairs, compare_values

PAIR_NOISE = 0.05


def design(variants, seeds, *, cross_seed):
    """Models (variant x seed, two families), and the positions of the measured pairs."""
    names = [f"v{v}s{s}" for v in range(variants) for s in range(seeds)]
    a, b = np.triu_indices(len(names), 1)
    variant, seed = np.divmod(np.arange(len(names)), seeds)
    if cross_seed:
        keep = seed[a] != seed[b]
        a, b = a[keep], b[keep]
    family = (np.arange(len(names)) < len(names) // 2).astype(int)
    columns = {}
    for side, chosen in (("a", a), ("b", b)):
        columns |= {
            f"model_{side}": [names[i] for i in chosen],
            f"step_{side}": [0] * len(chosen),
            f"layer_{side}": ["3"] * len(chosen),
            f"variant_{side}": variant[chosen],
            f"seed_{side}": seed[chosen],
            f"family_{side}": family[chosen],
        }
    table = PairTable.from_columns(columns | {"cka": np.zeros(len(a))})
    return table, a, b, variant, family


def model_effects(kind, n, rng):
    """The effect of each model on all its pairs, (n,)."""
    if kind == "none":
        return np.zeros(n)
    if kind == "skewed":
        return 0.05 * rng.exponential(size=n)
    return 0.05 * rng.standard_normal(n)


def plain_node_bootstrap(values, a, b, first, second, rng, draws=400):
    """95% percentile interval of the resampled difference, without self pairs."""
    n = int(max(a.max(), b.max())) + 1
    counts = rng.multinomial(n, np.full(n, 1 / n), size=draws)
    weight = (counts[:, a] * counts[:, b]).astype(float)
    with np.errstate(invalid="ignore"):
        means = [(weight * g) @ values / (weight * g).sum(1) for g in (first, second)]
    return np.nanquantile(means[0] - means[1], [0.025, 0.975])


def simulate(variants, seeds, question, effects, arguments, rng):
    """Percentages of the data sets in which a test is wrong or an interval right."""
    table, a, b, variant, family = design(variants, seeds, cross_seed=question == "variant")
    if question == "variant":
        first = variant[a] == variant[b]
        second = ~first
    else:
        first = (family[a] == 0) & (family[b] == 0)
        second = (family[a] == 1) & (family[b] == 1)
    truth = 0.0
    counts = {"permutation": 0, "welch": 0, "interval": 0, "plain": 0}
    for _ in range(arguments.datasets):
        if effects == "scaled":
            effect = np.exp(0.25 * rng.standard_normal(variants * seeds))
            values = effect[a] * effect[b] * np.where(first, 0.5, 0.25)
            truth = 0.25 * np.exp(0.25**2)  # E[effect]**2 = exp(0.25**2)
        else:
            effect = model_effects(effects, variants * seeds, rng)
            values = 0.5 + effect[a] + effect[b]
        values = values + PAIR_NOISE * rng.standard_normal(len(a))
        table.cka[:] = values
        options = {
            "permutations": arguments.permutations,
            "draws": 1000,
            "seed": int(rng.integers(2**31)),
        }
        if question == "variant":
            result = compare_pairs(table, same="variant", **options)
        else:
            result = compare_values(table, field="family", first=0, second=1, **options)
        low, high = plain_node_bootstrap(values, a, b, first, second, rng)
        welch = stats.ttest_ind(values[first], values[second], equal_var=False).pvalue
        counts["permutation"] += result.p <= 0.05
        counts["welch"] += welch <= 0.05
        counts["interval"] += result.low <= truth <= result.high
        counts["plain"] += low <= truth <= high
    return {name: 100 * float(count) / arguments.datasets for name, count in counts.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--datasets", type=int, default=1500)
    parser.add_argument("--permutations", type=int, default=999)
    arguments = parser.parse_args()
    rng = np.random.default_rng(20261121)
    started = time.perf_counter()
    error = 100 * (0.05 * 0.95 / arguments.datasets) ** 0.5
    print(
        f"{arguments.datasets} data sets per row; standard error of 5% or 95%: {error:.2f} points"
    )
    print("                                        false positives at 5%   coverage of 95%")
    print("models    question         effects      permutation    Welch   fastcka  plain node")
    rates = {"variant": [], "family": []}
    for variants, seeds in ((4, 3), (7, 3), (21, 3)):
        for question in ("variant", "family"):
            for effects in ("normal", "skewed", "none", "scaled"):
                if effects == "scaled" and question == "family":
                    continue  # the scales of the families would differ
                got = simulate(variants, seeds, question, effects, arguments, rng)
                asked = "same v. different" if question == "variant" else "family v. family"
                tests = " " * 22
                if effects != "scaled":
                    rates[question].append(got["permutation"])
                    tests = f"{got['permutation']:12.1f}%{got['welch']:8.1f}%"
                print(
                    f"{variants:2d} x {seeds}    {asked:18s}{effects:10s}{tests}"
                    f"{got['interval']:9.1f}%{got['plain']:10.1f}%",
                    flush=True,
                )
    print(f"{time.perf_counter() - started:.0f} s")
    for question, percentages in rates.items():
        mean = sum(percentages) / len(percentages)
        print(f"permutation of '{question}', all rows: {mean:.2f}% false positives at 5%")
        if not 4 <= mean <= 6:
            sys.exit(1)


if __name__ == "__main__":
    main()
