"""Draws the figures of docs/inference.md, from simulated data.

python examples/inference_figures.py [folder]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import fastcka
from fastcka.core.inference import pearson


def estimators(rng):
    """30 shared latents, 4,000 noisy units in each of two representations, 200 examples."""
    n, latents, units = 200, 30, 4000
    shared = rng.standard_normal((n, latents))
    x, y = (
        shared @ rng.standard_normal((latents, units)) / np.sqrt(latents)
        + rng.standard_normal((n, units))
        for _ in range(2)
    )
    widths = (10, 20, 50, 200, 1000, 4000)
    means = {"biased": [], "unbiased": [], "feature_corrected": []}
    for width in widths:
        starts = range(0, min(units, 60 * width), width)
        results = [fastcka.compare([x[:, i : i + width], y[:, i : i + width]]) for i in starts]
        for name, values in means.items():
            values.append(np.mean([getattr(result, name)[0, 1] for result in results]))
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for name, values in means.items():
        axes.plot(widths, values, marker="o", label=name.replace("_", "-"))
    axes.set(xscale="log", xlabel="units sampled of 4,000", ylabel="CKA, mean over samples")
    axes.axhline(means["unbiased"][-1], color="0.7", linewidth=1, label="unbiased, all units")
    axes.legend(frameon=False)
    return figure


def null(rng):
    """CKA of two small representations, with the examples of one permuted."""
    x, y = rng.standard_normal((40, 5)), rng.standard_normal((40, 3))
    result = fastcka.compare([x, y], inference=True)
    values = [fastcka.cka(x, y[rng.permutation(40)]) for _ in range(20_000)]
    sd = float(result.null_sd[0, 1])
    skewness = float(result._null.skewness[0, 1])
    grid = np.linspace(-3.5 * sd, 8.5 * sd, 400)
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.add_subplot()
    axes.hist(values, bins=120, density=True, color="0.8", label="20,000 permutations")
    curve = pearson.density(grid / sd, np.full(grid.shape, skewness)) / sd
    axes.plot(grid, curve, label="Pearson III from three moments")
    bell = np.exp(-((grid / sd) ** 2) / 2) / sd / np.sqrt(2 * np.pi)
    axes.plot(grid, bell, linestyle="--", label="normal")
    threshold = float(result._null.threshold(0.95)[0, 1])
    axes.axvline(threshold, color="black", linewidth=1)
    axes.text(threshold, axes.get_ylim()[1] * 0.9, " 95 %")
    axes.set(xlabel="unbiased CKA", yticks=[])
    axes.legend(frameon=False)
    return figure


def examples_and_models(rng):
    """What changes with the examples, and what with the models: random networks of one layer."""

    def layer(inputs, seed):
        weights = np.random.default_rng(seed).standard_normal((inputs.shape[1], 12))
        return np.maximum(inputs @ weights, 0)

    def value(inputs, one, other):
        return fastcka.cka(layer(inputs, one), layer(inputs, other))

    inputs = rng.standard_normal((300, 20))
    spread = {
        "new examples,\nthe same two models": [
            value(rng.standard_normal((300, 20)), 1, 2) for _ in range(200)
        ],
        "the same examples,\nnew models": [
            value(inputs, 2 * seed, 2 * seed + 1) for seed in range(200)
        ],
    }
    figure = Figure(figsize=(6, 2.6), layout="constrained")
    axes = figure.add_subplot()
    axes.boxplot(list(spread.values()), orientation="horizontal", tick_labels=list(spread))
    axes.set(xlabel="unbiased CKA of two networks")
    return figure


def main(folder="docs"):
    for name, draw in (
        ("estimators", estimators),
        ("null", null),
        ("examples-and-models", examples_and_models),
    ):
        figure = draw(np.random.default_rng(0))
        figure.savefig(Path(folder) / f"inference-{name}.png", dpi=110)


if __name__ == "__main__":
    main(*sys.argv[1:2])
