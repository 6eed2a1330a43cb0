"""Two models to record, and a recorded run of one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from fastcka.capture import CheckpointRecorder


class Counter(nn.Module):
    """Its one weight is the number of updates made to it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def update(self) -> None:
        with torch.no_grad():
            self.weight += 1


class Wrapping(nn.Module):
    """A network with a part called "module"."""

    def __init__(self, module: nn.Module | None = None) -> None:
        super().__init__()
        self.module = module or nn.Linear(2, 2)


def plan_of(*steps: int, training_steps: int | None = None) -> dict[str, Any]:
    total = max(steps) if training_steps is None else training_steps
    return {"experiments": {"run": {"training_steps": total, "checkpoint_steps": list(steps)}}}


def run(directory: Path, *steps: int, updates: int, **options: Any) -> CheckpointRecorder:
    """Record a counter, including step 0."""
    model = Counter()
    with CheckpointRecorder(plan_of(*steps), "run", directory, **options) as recorder:
        recorder.before_training(model)
        for _ in range(updates):
            model.update()
            recorder.after_update(model)
    return recorder


def step_file(directory: Path, step: int) -> Path:
    return directory / "run" / f"checkpoint_step_{step:05d}.pt"
