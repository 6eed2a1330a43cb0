"""Training one network of the demo, with its checkpoints; reusing it if they are there."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcka.capture import (
    CheckpointPlan,
    CheckpointRecorder,
    checkpoint_path,
    read_checkpoint,
)
from fastcka.demo.networks import Family, build_network
from fastcka.digests import json_digest, text_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from fastcka.demo.data import Digits

BATCH_SIZE = 64
LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class Run:
    """One network to train: what it is, and below which folder its checkpoints lie."""

    family: Family
    seed: int
    steps: tuple[int, ...]
    checkpoints: Path

    @property
    def model(self) -> str:
        """The name in the store: ``cnn-seed1``."""
        return f"{self.family}-seed{self.seed}"

    @property
    def directory(self) -> Path:
        """The folder of its checkpoints."""
        return self.checkpoints / self.model

    @property
    def plan(self) -> CheckpointPlan:
        """Its steps as a plan of one experiment."""
        planned = {"training_steps": max(self.steps), "checkpoint_steps": self.steps}
        return CheckpointPlan.parse({"experiments": {self.model: planned}})

    def identity(self, training: Digits) -> dict[str, Any]:
        """All that decides the weights; two runs with the same identity are the same run."""
        shapes = {k: list(v.shape) for k, v in build_network(self.family, 0).state_dict().items()}
        return {
            "family": self.family,
            "seed": self.seed,
            "network": text_digest(repr(shapes)),
            "training_images": training.digest,
            "optimizer": "Adam",
            "batch_size": BATCH_SIZE,
            "learning_rate": LEARNING_RATE,
        }


def is_trained(run: Run, training: Digits) -> bool:
    """Whether each planned checkpoint is there and is this run's."""
    paths = [checkpoint_path(run.directory, step) for step in run.steps]
    if not all(path.exists() for path in paths):
        return False
    run_id = json_digest(run.identity(training))
    return all(read_checkpoint(path).run_id == run_id for path in paths)


def train(run: Run, training: Digits, *, on_update: Callable[[], object]) -> None:
    """Train from the start to the last planned step; about 3 to 7 ms an update on one core."""
    import torch
    from torch.nn.functional import cross_entropy

    images, digits = torch.from_numpy(training.images), torch.from_numpy(training.digits)
    network = build_network(run.family, run.seed)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    batches = _batches(len(images), run.seed)
    identity = run.identity(training)
    recording = CheckpointRecorder(
        run.plan,
        run.model,
        run.checkpoints,
        model_config=identity,
        seed=run.seed,
        run_id=json_digest(identity),
    )
    with one_thread(), recording as recorder:
        recorder.before_training(network, optimizer=optimizer)
        for _ in range(max(run.steps)):
            batch = torch.from_numpy(next(batches))
            optimizer.zero_grad()
            loss = cross_entropy(network(images[batch]), digits[batch])
            loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch 2.13
            optimizer.step()
            recorder.after_update(network, optimizer=optimizer, loss=loss)
            on_update()


def _batches(n_examples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Full batches for ever, each pass over the images in a new order."""
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(n_examples)
        for start in range(0, n_examples - BATCH_SIZE + 1, BATCH_SIZE):
            yield order[start : start + BATCH_SIZE]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch use one thread, as before afterwards.

    These networks are too small to share between cores (measured: one is as fast as two), and
    one gives the same numbers on any number of cores.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
