"""Tables of pairs for the tests of the report."""

from __future__ import annotations

import itertools

from fastcka.report.data import ReportData
from fastcka.report.facts import read_facts
from fastcka.report.roles import find_roles
from fastcka.stats import PairTable


def table_of(keys, value, *, keep=lambda a, b: True, **further):
    """Return the pairs of representations (model, step, layer, labels)."""
    rows = [(a, b) for a, b in itertools.combinations(keys, 2) if keep(a, b)]
    columns = {"cka": [value(a, b) for a, b in rows], "estimator": ["unbiased"] * len(rows)}
    columns["n_examples"] = [600] * len(rows)
    columns |= {name: [function(a, b) for a, b in rows] for name, function in further.items()}
    for side in (0, 1):
        name = "ab"[side]
        for place, key in enumerate(("model", "step", "layer")):
            columns[f"{key}_{name}"] = [row[side][place] for row in rows]
        for factor in keys[0][3]:
            columns[f"{factor}_{name}"] = [row[side][3][factor] for row in rows]
    return PairTable.from_columns(columns)


def networks(steps=(0, 100), layers=("conv", "fc")):
    return [
        (f"{family}{seed}", step, layer, {"family": family, "seed": seed})
        for step in steps
        for family in ("cnn", "mlp")
        for seed in (0, 1)
        for layer in layers
    ]


def same_step(a, b):
    return a[1] == b[1]


def data_of(table, folder):
    return ReportData.of(
        table, read_facts(folder), find_roles(table), all_steps=False, permutations=99
    )
