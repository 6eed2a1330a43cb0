"""Representations of a grid of models, and the pairs of a plan."""

from __future__ import annotations

from fastcka.store import Key


def grid(models, *, steps=(0,), layers=("l",)):
    """Return keys of every model at every step and layer; ``steps`` may be a dict by model."""
    return [
        Key(model, step, layer)
        for model in sorted(models)
        for step in (steps[model] if isinstance(steps, dict) else steps)
        for layer in layers
    ]


def pairs_of(plan):
    return [frozenset(pair) for pair in plan.pairs()]


LASTS = {"one": [0, 319956, 328146], "two": [0, 319956, 328125], "three": [0, 319956, 328132]}
