"""Compare early and late training phases, from the training loop to an HTML page.

    python examples/checkpoints.py [DIR] [--steps 400]

Three kinds of networks, two seeds each, learn handwritten digits. A plan lists the steps at which
the recorder saves them. Then the script runs these commands:

    fastcka checkpoints verify DIR/plan.json --dir DIR/seed0
    fastcka evolve DIR/plan.json --checkpoints DIR/seed0 --other DIR/seed1 --output DIR/results
        --model checkpoints:network --probe DIR/probe.npz
    fastcka report DIR/results

This takes about two minutes on two cores. A second run with the same options reuses the trained
networks. If you delete a checkpoint first, verify and evolve name it and exit with status 1. For
other options, use another DIR.
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
    """Return the network of an experiment. `fastcka evolve --model` calls this function."""
    return build_network(EXPERIMENTS[experiment], seed)


def train(plan, experiment, seed, directory, training):
    """An ordinary training loop with a recorder."""
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
    """Run a command of fastcka and return its exit status."""
    print(f"\n$ {shlex.join(['fastcka', *map(str, arguments)])}", flush=True)
    # Run in this folder, so that --model finds the module `checkpoints`.
    command = [sys.executable, "-m", "fastcka", *map(str, arguments)]
    return subprocess.run(command, cwd=Path(__file__).parent, check=False).returncode


def main():
    """Plan, train, verify, evolve and report; exit with the highest status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, nargs="?", default=Path("checkpoints-example"))
    parser.add_argument("--steps", type=int, default=400, help="updates of each training")
    parser.add_argument("--experiments", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS))
    parser.add_argument(
        "--permutations", type=int, default=10, help="permutations of the weights in evolve"
    )
    arguments = parser.parse_args()
    root, steps = arguments.directory.resolve(), arguments.steps
    root.mkdir(parents=True, exist_ok=True)

    phases = {"early": max(1, steps // 20), "mid": steps // 2, "late": steps}
    plan = CheckpointPlan.of(dict.fromkeys(arguments.experiments, phases), steps)
    plan.save(root / "plan.json")
    training, probe = load_split()
    np.savez(root / "probe.npz", inputs=probe.images, ids=probe.ids, column_digit=probe.digits)

    torch.set_num_threads(1)  # these networks are too small for several threads
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
