"""Small trainings with checkpoints by torch.save, and an analysis of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

PHASES = {"early": 4, "mid": 12, "late": 20}
STEPS = (0, 4, 8, 12, 20)
WIDTH = 10


def build(experiment):
    """A small transformer or convolutional network."""
    from torch import nn

    torch.manual_seed(3)
    if experiment == "attention":
        layer = nn.TransformerEncoderLayer(WIDTH, 2, 16, dropout=0.0, batch_first=True)
        return nn.Sequential(nn.Linear(6, WIDTH), layer, nn.Flatten(), nn.Linear(4 * WIDTH, 3))
    return nn.Sequential(
        nn.Unflatten(1, (1, 4)), nn.Conv2d(1, WIDTH, 3), nn.ReLU(), nn.Flatten(), nn.Linear(80, 3)
    )


def train(experiment, folder, seed):
    """Train, and save step, state dict and loss at each of `STEPS`."""
    folder.mkdir(parents=True)
    torch.set_num_threads(1)
    model = build(experiment)
    torch.manual_seed(seed)
    inputs, labels = torch.randn(64, 4, 6), torch.randint(3, (64,))
    if seed:
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for step in range(max(STEPS) + 1):
        if step in STEPS:
            content = {"step": step, "model_state_dict": model.state_dict(), "loss": 0.0}
            torch.save(content, folder / f"checkpoint_step_{step:05d}.pt")
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A folder with plan.json, probe.npz, and the checkpoints of two seeds."""
    root = tmp_path_factory.mktemp("trained")
    experiments = {}
    for name in ("attention", "convolution"):
        for seed in (0, 1):
            train(name, root / f"seed{seed}" / name, seed)
        checkpoints = {phase: {"step": step} for phase, step in PHASES.items()}
        experiments[name] = {
            "training_steps": 20,
            "checkpoints": checkpoints,
            "checkpoint_steps": [0, *PHASES.values()],
        }
    (root / "plan.json").write_text(json.dumps({"experiments": experiments}))
    inputs = np.random.default_rng(0).standard_normal((40, 4, 6)).astype(np.float32)
    np.savez(root / "probe.npz", inputs=inputs, ids=[f"example{i}" for i in range(40)])
    return root


@pytest.fixture(scope="session")
def analysed(trained, tmp_path_factory):
    """The output of `evolve` with a model, a probe and the run of another seed."""
    from fastcka.evolution import evolve

    output = tmp_path_factory.mktemp("analysed")
    evolve(
        trained / "plan.json",
        trained / "seed0",
        output,
        other=trained / "seed1",
        model=build,
        probe=trained / "probe.npz",
        permutations=3,
    )
    return output


@pytest.fixture
def strict(strict_json):
    """Parse a JSON file as other languages do: NaN and Infinity are errors."""
    return lambda path: strict_json(Path(path).read_text("utf-8"))
