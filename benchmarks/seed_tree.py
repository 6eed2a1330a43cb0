"""A tree of checkpoints as training runs leave it, for `seed_sweep.py`.

7 variants x 3 seeds of models that are trained on 1, 2 and 3 tasks: layers 3 to 6, three steps,
4,500 examples of 256 features; 87 of the examples are in "Atlantis". Each model has its rows in
another order, ids are texts, last steps differ between the families, each number is stored twice,
one model is missing and one checkpoint is half written. Models that share a task share a part of
their features.
"""

from __future__ import annotations

import itertools
import json

import numpy as np
import torch

TASKS = {
    "pt1": "distance|trianglearea|angle|compass|inside|perimeter|crossing",
    "pt2": "distance trianglearea|angle compass|inside perimeter|crossing distance|"
    "trianglearea angle|compass inside|perimeter crossing",
    "pt3": "distance trianglearea angle|compass inside perimeter|crossing distance trianglearea|"
    "angle compass inside|perimeter crossing distance|trianglearea angle compass|"
    "inside perimeter crossing",
}
LAST = {"pt1": 328146, "pt2": 328125, "pt3": 328132}
STEPS = (0, 164080)
LAYERS = (3, 4, 5, 6)
SEEDS = ("orig", 1, 2)
TOKENS, HIDDEN = 2, 128
MISSING = "pt1-1_seed2"
HALF_WRITTEN = ("pt1-2", 5, LAST["pt1"])


def model_name(family, variant, seed):
    return f"{family}-{variant}" + ("" if seed == "orig" else f"_seed{seed}")


def models_of(count):
    """Model -> factors, for `count` models: 9 for each variant."""
    return {
        model_name(family, variant, seed): {
            "family": family,
            "variant": variant,
            "seed": seed,
            "tasks": TASKS[family].split("|")[variant - 1].split(),
        }
        for family in TASKS
        for variant in range(1, count // 9 + 1)
        for seed in SEEDS
    }


def representations_folder(tree, model, factors, layer):
    extraction = f"{factors['tasks'][0]}_firstcity_last_and_trans_l{layer}"
    return tree / model / "analysis_higher" / extraction / "representations"


def write_tree(tree, models, n):
    """Write all checkpoints; return their number."""
    rng = np.random.default_rng(20261121)
    every_task = sorted({task for factors in models.values() for task in factors["tasks"]})
    # The features that a task adds, and those that all networks have.
    signals = {task: rng.standard_normal((n, 6), dtype=np.float32) for task in every_task}
    common = rng.standard_normal((n, 4), dtype=np.float32)
    n_atlantis = round(n * 87 / 4500)
    cities = [
        {
            "row_id": str(1000 + row),
            "name": f"city {row}",
            "x": float(rng.normal()),
            "y": float(rng.normal()),
            "country": f"land {row % 97}",
            "region": "Atlantis" if row < n_atlantis else f"region {row % 11}",
        }
        for row in range(n)
    ]
    texts = [json.dumps(city) for city in cities]
    written = 0
    for model, factors in models.items():
        if model == MISSING:
            continue
        order = rng.permutation(n)
        city_info = f"[{', '.join(texts[row] for row in order)}]"
        parts = [common, *(signals[task] for task in factors["tasks"])]
        signal = np.hstack(parts)[order]
        for layer, step in itertools.product(LAYERS, (*STEPS, LAST[factors["family"]])):
            trained = 0.3 + 0.7 * step / LAST["pt1"] + 0.1 * (layer - LAYERS[0])
            mix = rng.standard_normal((signal.shape[1], TOKENS * HIDDEN), dtype=np.float32)
            x = 3 * rng.standard_normal((n, TOKENS * HIDDEN), dtype=np.float32)
            x += trained * (signal @ mix) + 2
            folder = representations_folder(tree, model, factors, layer) / f"checkpoint-{step}"
            folder.mkdir(parents=True)
            flat = torch.from_numpy(x)
            shape = [n, TOKENS, 1, HIDDEN]
            saved = {
                "representations": flat.reshape(shape).clone(),
                "representations_flat": flat,
                "input_ids": torch.zeros(n, 8, dtype=torch.int64),
                "step": step,
                "layers": [layer],
            }
            torch.save(saved, folder / "representations.pt")
            if (model, layer, step) == HALF_WRITTEN:
                continue
            metadata = {
                "step": str(step),  # json.dump(..., default=str) of NumPy numbers
                "layers": [layer],
                "n_cities": str(n),
                "representation_shape": shape,
                "x_train_mean": float("nan"),
            }
            text = json.dumps(metadata)[:-1] + f', "city_info": {city_info}}}'
            (folder / "metadata.json").write_text(text)
            written += 1
    return written
