"""Tables of pairs, made from models and a function of two models."""

from __future__ import annotations

import itertools

import pytest

from fastcka.stats import PairTable


def columns_of(models, value, *, layers=("3",), steps=(0,), keep=lambda a, b: True):
    """Return the columns of all pairs of ``models``; every second pair is reversed."""
    names = sorted(set().union(*models.values()))
    rows = []
    for layer, step in itertools.product(layers, steps):
        for number, (a, b) in enumerate(itertools.combinations(models, 2)):
            if not keep(models[a], models[b]):
                continue
            if number % 2:  # a pair has no order
                a, b = b, a
            row = {"cka": value(a, b, layer, step), "n_examples": 50, "estimator": "unbiased"}
            for side, model in (("a", a), ("b", b)):
                row |= {f"model_{side}": model, f"step_{side}": step, f"layer_{side}": layer}
                row |= {f"{name}_{side}": models[model].get(name) for name in names}
            rows.append(row)
    return {name: [row[name] for row in rows] for name in rows[0]}


@pytest.fixture
def columns():
    return columns_of


@pytest.fixture
def pair_table():
    def make(models, value, **options):
        return PairTable.from_columns(columns_of(models, value, **options))

    return make


@pytest.fixture
def irregular():
    """Three variants: one lacks a seed, one has seed 3 instead of 2; names are out of order."""
    return {
        "zeta": {"variant": "a", "seed": "orig"},
        "beta": {"variant": "b", "seed": "orig"},
        "m1": {"variant": "a", "seed": 1},
        "m9": {"variant": "c", "seed": 1},
        "m10": {"variant": "a", "seed": 2},
        "m3": {"variant": "b", "seed": 1},
        "alpha": {"variant": "b", "seed": 3},
        "omega": {"variant": "c", "seed": "orig"},
    }


@pytest.fixture
def grid():
    def make(variants, seeds, families=("f",)):
        return {
            f"{f}-{v}-{s}": {"family": f, "variant": v, "seed": s}
            for f in families
            for v in range(variants)
            for s in range(seeds)
        }

    return make
