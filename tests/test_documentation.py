"""What README.md and the docstrings show is run as it stands."""

from __future__ import annotations

import doctest
import importlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastcka
from fastcka.sweep import load_sweep

README = Path(__file__).parents[1] / "README.md"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text("utf-8"), re.M | re.S)


@pytest.mark.parametrize("module", ["cka", "compare"])
def test_docstrings(module):
    # By name: the package exports functions that are called like their modules.
    found = doctest.testmod(importlib.import_module(f"fastcka.core.{module}"))
    assert found.attempted > 0
    assert found.failed == 0


def test_the_python_example(tmp_path):
    example, _ = blocks("python")
    assert len(example.strip().splitlines()) <= 12
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "cka_unbiased" in done.stdout
    assert done.stderr == ""


def test_the_store_example_and_the_sweep(tmp_path, monkeypatch, rng):
    monkeypatch.chdir(tmp_path)
    _, example = blocks("python")
    names = {
        "fastcka": fastcka,
        "a": rng.standard_normal((20, 3)),
        "b": rng.standard_normal((20, 4)).astype(np.float16),
        "ids": [f"image{i}" for i in range(20)],
        "labels": list(range(20)),
    }
    exec(example, names)
    np.testing.assert_array_equal(list(names["arrays"].values())[1], names["b"])
    with fastcka.open_store("my-store") as store:
        keys = [tuple(key) for key in store.keys()]
    assert keys == [("cnn-seed0", 100, "conv1"), ("cnn-seed0", 100, "conv2")]

    with fastcka.create_store("my-store", exist_ok=True) as store:
        for model, family, seed in (("cnn-seed1", "cnn", 1), ("mlp-seed0", "mlp", 0)):
            layers = {"conv1": rng.standard_normal((20, 3))}
            factors = {"family": family, "seed": seed}
            store.write(
                model=model, step=100, layers=layers, example_ids=names["ids"], factors=factors
            )
    (sweep,) = blocks("yaml")
    Path("sweep.yaml").write_text(sweep, "utf-8")
    assert load_sweep("sweep.yaml").compare.steps == "all_common"
    result = fastcka.run_sweep("sweep.yaml")
    assert result.comparisons == 1


def test_the_picture_is_there():
    for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README.read_text("utf-8")):
        assert (README.parent / name).is_file()
