"""Checkpoint trees of two models, and the configuration of their pair."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

import oracle
from checkpoint_trees import checkpoint_folder, cities, values_of, write_checkpoint

STEPS = {"pt2-1": (0, 100, 200), "pt2-2_seed1": (0, 100, 200, 300)}
FILTER = "region:^(?!Atlantis).* && city_id:^[1-9][0-9]{3,}$"


@pytest.fixture
def two_models(tmp_path):
    """Write two models at layer 5, each with a different order of rows; return the tree."""
    tree = tmp_path / "tree"
    for model, steps in STEPS.items():
        order = np.random.default_rng(len(model)).permutation(60)
        for step in steps:
            write_checkpoint(
                checkpoint_folder(tree, model, 5, step),
                values_of(model, step, 5)[order],
                [cities()[row] for row in order],
                layer=5,
                step=step,
                text_numbers=model == "pt2-1",  # ids as texts on one side, numbers on the other
            )
    return tree


@pytest.fixture
def pair_config(tmp_path, two_models):
    """Return a function that writes a configuration of the two models with changed ``keys``."""

    def write(name="pair.yaml", **keys):
        sides = {}
        for side, model in (("exp1", "pt2-1"), ("exp2", "pt2-2_seed1")):
            folder = checkpoint_folder(two_models, model, 5, 0).parent
            sides[side] = {"name": model, "repr_dir": str(folder), "task": "distance"}
        document = {
            **sides,
            "layer": 5,
            "checkpoint_steps": None,
            "use_final_only": True,
            "city_filter": FILTER,
            "kernel_type": "linear",
            "center_kernels": True,
            "use_gpu": False,
            "save_timeline_plot": False,
            "output_dir": str(tmp_path / "cka_analysis" / "pt2-1_vs_pt2-2_seed1" / "layer5"),
        }
        path = tmp_path / name
        path.write_text(yaml.safe_dump(document | keys, sort_keys=False))
        return path

    return write


@pytest.fixture
def expected():
    """Return a function: biased CKA of the two models at a step, and the number of cities kept."""

    def cka(step, keep=lambda city: city["region"] != "Atlantis" and city["row_id"] >= 1000):
        rows = [row for row, city in enumerate(cities()) if keep(city)]
        one, other = (values_of(model, step, 5)[rows] for model in STEPS)
        return oracle.cka(one, other, "biased"), len(rows)

    return cka
