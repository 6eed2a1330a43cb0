"""Stores whose models differ only in their factors."""

from __future__ import annotations

from fastcka.store import Key
from fastcka.sweep import plan_sweep

SEEDS = ("orig", 1, 2)


def grid(factors, *, steps=(0,), layers=("l",)):
    return [
        Key(model, step, layer) for model in sorted(factors) for step in steps for layer in layers
    ]


def compare_factors(
    config_for, labelled_store, compare, factors, *, steps=(0,), layers=("l",), **fields
):
    store = labelled_store(grid(factors, steps=steps, layers=layers), factors)
    return plan_sweep(config_for(compare=compare, **fields), store)
