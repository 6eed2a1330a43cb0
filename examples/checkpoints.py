"""Do early features differ from late ones? From the training loop to the page, in one command.

    python examples/checkpoints.py [DIR] [--steps 400]

Three kinds of network learn handwritten digits, two seeds each. A plan says at which steps they are
saved; the recorder saves them; and the command line does the rest, as you would type it:

    fastcka checkpoints verify DIR/plan.json --dir DIR/seed0
    fastcka evolve DIR/plan.json --checkpoints DIR/seed0 --other DIR/seed1 --output DIR/results
        --model checkpoints:network --probe DIR/probe.npz
    fastcka report DIR/results

It takes about two minutes on two cores. A run whose folder is there is not trained again: delete
one of its checkpoints, and verify and evolve say which, with exit status 1.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from fastcka.capture import CheckpointPlan, CheckpointRecorder
from fastcka.demo.data import load_split
from fastcka.demo.networks import build_network

EXPERIMENTS = {"transformer_digits": "transformer", "cnn_digits": "cnn", "mlp_digits": "mlp"}
SEEDS = (0, 1)
BATCH_SIZE = 64


def network(experiment, seed=0):
    """Build the network of an experiment; `fastcka evolve --model` calls it."""
    return build_network(EXPERIMENTS[experiment], seed)


def train(plan, experiment, seed, directory, training):
    """The training loop as anyone writes it, and the recorder in it."""
    images, digits = (torch.from_numpy(a) for a in (training.images, training.digits))
    model = network(experiment, seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    order = torch.Generator().manual_seed(seed)
    steps = plan.experiment(experiment).training_steps
    with CheckpointRecorder(plan, experiment, directory, seed=seed) as recorder:
        recorder.before_training(model, optimizer=optimizer)
        for _ in range(steps):
            batch = torch.randint(len(images), (BATCH_SIZE,), generator=order)
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(images[batch]), digits[batch])
            loss.backward()
            optimizer.step()
            recorder.after_update(model, optimizer=optimizer, loss=loss)
    print(f"trained {experiment}, seed {seed}: loss {loss.item():.3f} after {steps} updates")


def fastcka(*arguments):
    """Call the command line; returns its exit status."""
    print(f"\n$ {shlex.join(['fastcka', *map(str, arguments)])}", flush=True)
    # In this folder, where it finds the module `checkpoints` for --model.
    command = [sys.executable, "-m", "fastcka", *map(str, arguments)]
    return subprocess.run(command, cwd=Path(__file__).parent, check=False).returncode


def main():
    """Plan, record, verify, evolve, report; exits with the first status that is not 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, nargs="?", default=Path("checkpoints-example"))
    parser.add_argument("--steps", type=int, default=400, help="updates of each training")
    parser.add_argument("--experiments", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS))
    parser.add_argument("--permutations", type=int, default=10, help="permuted weights")
    arguments = parser.parse_args()
    root, steps = arguments.directory.resolve(), arguments.steps
    root.mkdir(parents=True, exist_ok=True)

    phases = {"early": max(1, steps // 20), "mid": steps // 2, "late": steps}
    plan = CheckpointPlan.of(dict.fromkeys(arguments.experiments, phases), steps)
    plan.save(root / "plan.json")
    training, probe = load_split()
    np.savez(root / "probe.npz", inputs=probe.images, ids=probe.ids, column_digit=probe.digits)

    torch.set_num_threads(1)  # these networks are too small to share
    for seed in SEEDS:
        for experiment in arguments.experiments:
            if not (root / f"seed{seed}" / experiment).exists():
                train(plan, experiment, seed, root / f"seed{seed}", training)

    results = root / "results"
    statuses = [fastcka("checkpoints", "verify", root / "plan.json", "--dir", root / "seed0")]
    statuses.append(
        fastcka(
            *("evolve", root / "plan.json", "--checkpoints", root / "seed0"),
            *("--other", root / "seed1", "--output", results),
            *("--model", "checkpoints:network", "--probe", root / "probe.npz"),
            *("--permutations", arguments.permutations),
        )
    )
    statuses.append(fastcka("report", results))
    sys.exit(max(statuses))


if __name__ == "__main__":
    main()
