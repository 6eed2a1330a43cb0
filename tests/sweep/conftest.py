"""Stores and sweeps that the tests of this folder share."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from fastcka.store import LayerInfo, create_store
from fastcka.sweep import SweepConfig, run_sweep


class LabelledStore:
    """A store in memory, as the planner reads it: keys, factors and one set of examples."""

    def __init__(self, keys, factors, *, n_examples=8):
        self._keys, self._factors, self._n = list(keys), factors, n_examples

    def keys(self):
        return self._keys

    def inventory(self):
        return self._keys, []

    def factors(self, model):
        return self._factors[model]

    def info(self, key):
        return LayerInfo(
            key=key,
            n_examples=self._n,
            examples_digest="",
            n_features=4,
            dtype="float32",
            digest=f"digest of {tuple(key)}",
            path=Path("in memory"),
            positional_ids=False,
        )


@pytest.fixture
def labelled_store():
    return LabelledStore


@pytest.fixture
def config_for(tmp_path):
    """Return a function that makes a sweep's configuration from the fields that differ."""

    def make(*, within=(), differ=(), steps="all", **fields):
        return SweepConfig.model_validate(
            {
                "store": tmp_path / "store",
                "output": tmp_path / "out",
                "compare": {"within": list(within), "differ": list(differ), "steps": steps},
                **fields,
            }
        )

    return make


@pytest.fixture(scope="session")
def but_for_seconds():
    """Return a function that reads a table without ``seconds``, which differ between runs."""

    def cells(path):
        with path.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        column = header.index("seconds")
        return [row[:column] + row[column + 1 :] for row in (header, *rows)]

    return cells


@pytest.fixture
def trained(tmp_path):
    """Write a store of 2 variants x 3 seeds x 2 layers x 2 steps; return its arrays by key.

    The last step of variant "b" is 90, of "a" 100. Layer "fc" of b is float64, the rest float32.
    """
    rng = np.random.default_rng(7)
    n = 40
    ids = [f"image {row}" for row in range(n)]
    base = rng.normal(size=(n, 6))
    arrays = {}
    with create_store(tmp_path / "store") as store:
        for variant, last in (("a", 100), ("b", 90)):
            for seed in ("orig", 1, 2):
                model = f"{variant}_{seed}"
                factors = {"variant": variant, "seed": seed, "tasks": [variant, "shared"]}
                for step in (0, last):
                    wide = np.float64 if variant == "b" else np.float32
                    layers = {
                        "conv": (base @ rng.normal(size=(6, 5)) + 3).astype(np.float32),
                        "fc": (base @ rng.normal(size=(6, 9)) + rng.normal(size=(n, 9))).astype(
                            wide
                        ),
                    }
                    store.write(
                        model=model, step=step, layers=layers, example_ids=ids, factors=factors
                    )
                    for layer, x in layers.items():
                        arrays[model, step, layer] = x
    return arrays


@pytest.fixture
def events():
    return []


@pytest.fixture
def run(events):
    """Return a function that runs a sweep and collects its events in ``events``."""

    def call(config, **options):
        events.clear()
        return run_sweep(config, on_event=events.append, **options)

    return call
