"""Representations of a grid of models, their plan, and its pairs."""

from __future__ import annotations

from fastcka.store import Key
from fastcka.sweep import plan_sweep

SEEDS = ("orig", 1, 2)
LASTS = {"one": [0, 319956, 328146], "two": [0, 319956, 328125], "three": [0, 319956, 328132]}


def grid(models, *, steps=(0,), layers=("l",)):
    """Return the keys of all models, steps and layers; ``steps`` may be a dict by model."""
    return [
        Key(model, step, layer)
        for model in sorted(models)
        for step in (steps[model] if isinstance(steps, dict) else steps)
        for layer in layers
    ]


def pairs_of(plan):
    return [frozenset(pair) for pair in plan.pairs()]


def compare_factors(
    config_for, labelled_store, compare, factors, *, steps=(0,), layers=("l",), **fields
):
    store = labelled_store(grid(factors, steps=steps, layers=layers), factors)
    return plan_sweep(config_for(compare=compare, **fields), store)
