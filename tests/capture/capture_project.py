"""A project with a network, a probe and checkpoints to capture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from typer.testing import CliRunner

from fastcka.cli.app import app

FACTORY = """
import torch
from torch import nn

def build(width=3):
    return nn.Sequential(nn.Linear(2, width), nn.ReLU())

def number(**options):
    return 7

KEPT = build()

def kept():
    return KEPT

def picky():
    class Picky(nn.Sequential):
        def forward(self, x):
            raise ArithmeticError("too hard")
    return Picky(nn.Linear(2, 3), nn.ReLU())
"""


CONFIG = """
model: {module}:build
probe: probe.npz
store: store
layers: ["**"]
batch_size: 4
runs:
  - {{name: small, checkpoints: runs/small, factors: {{seed: 0}}}}
  - {{name: wide, checkpoints: runs/wide, factors: {{seed: 1}}, options: {{width: 5}}}}
"""


X = np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32)


def weights(step: int, width: int = 3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1000 * width + step)
    return {
        "0.weight": torch.randn(width, 2, generator=generator),
        "0.bias": torch.randn(width, generator=generator),
    }


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["capture", *map(str, arguments)])


def rewrite(project: Path, old: str, new: str) -> None:
    path = project / "capture.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def by_hand(state: dict[str, torch.Tensor]) -> Any:
    return X @ state["0.weight"].numpy().T + state["0.bias"].numpy()
