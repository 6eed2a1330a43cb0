"""Results of a sweep over models, layers and steps, with all columns that the page shows."""

from __future__ import annotations

import csv
import json

WIDTHS = {"conv1": 64, "conv2": 32, "fc": 10}
LAYERS = tuple(WIDTHS)
STEPS = (0, 50, 100)


def write_layered(folder):
    """Write all pairs of four models with three layers at three steps; return the rows."""
    models = {f"m{v}{s}": (f"v{v}", str(s)) for v in "ab" for s in (1, 2)}
    keys = [(model, layer) for model in models for layer in LAYERS]
    rows = []
    for step in STEPS:
        for i, (model_a, layer_a) in enumerate(keys):
            for j, (model_b, layer_b) in enumerate(keys[:i]):
                value = (17 * i + 29 * j + step) % 97 / 100
                factors = [
                    label
                    for pair in zip(models[model_a], models[model_b], strict=True)
                    for label in pair
                ]
                sides = [model_a, step, layer_a, model_b, step, layer_b, *factors]
                numbers = [value, value / 2, 0.01, value - 0.1, 0.9, value / 3, value / 4]
                rows.append([*sides, 600, "unbiased", *numbers])
    header = [f"{key}_{side}" for side in "ab" for key in ("model", "step", "layer")]
    header += ["variant_a", "variant_b", "seed_a", "seed_b", "n_examples", "estimator", "cka"]
    with (folder / "results.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [
                [*header, "another_measure", "p_value", "ci_low", "ci_high", "pwcca", "pwcca_b"],
                *rows,
            ]
        )
    groups = [
        {
            "keys": [[model, step, layer, "digest"] for model, layer in keys],
            "n_features": [WIDTHS[layer] for _, layer in keys],
            "pooling": ["mean over positions"] * len(keys),
        }
        for step in STEPS
    ]
    record = {
        "config": {"store": "a store", "compare": {}, "inference": {"level": 0.9}},
        "versions": {"fastcka": "0"},
        "finished": "2026-11-21T00:00:00+00:00",
        "plan": {"dropped": {}},
        "groups": groups,
    }
    (folder / "run.json").write_text(json.dumps(record))
    return rows
