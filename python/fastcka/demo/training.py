"""Train one network of the demo, or reuse its checkpoints."""

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
    """One network to train, and the folder that contains the checkpoints of all networks."""

    family: Family
    seed: int
    steps: tuple[int, ...]
    checkpoints: Path

    @property
    def model(self) -> str:
        """The name of the network in the store, such as ``cnn-seed1``."""
        return f"{self.family}-seed{self.seed}"

    @property
    def directory(self) -> Path:
        """The folder with the checkpoints of this network."""
        return self.checkpoints / self.model

    @property
    def plan(self) -> CheckpointPlan:
        """A plan with this network as its only experiment."""
        planned = {"training_steps": max(self.steps), "checkpoint_steps": self.steps}
        return CheckpointPlan.parse({"experiments": {self.model: planned}})

    def identity(self, training: Digits) -> dict[str, Any]:
        """Return all settings that determine the weights. Runs with equal settings are the same."""
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
    """Whether all planned checkpoints exist and belong to this run."""
    paths = [checkpoint_path(run.directory, step) for step in run.steps]
    if not all(path.exists() for path in paths):
        return False
    run_id = json_digest(run.identity(training))
    return all(read_checkpoint(path).run_id == run_id for path in paths)


def train(run: Run, training: Digits, *, on_update: Callable[[], object]) -> None:
    """Train from step 0 to the last planned step; an update takes 3 to 7 ms on one core."""
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
    """Yield full batches without end; each pass over the images has a new order."""
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(n_examples)
        for start in range(0, n_examples - BATCH_SIZE + 1, BATCH_SIZE):
            yield order[start : start + BATCH_SIZE]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch use one thread within the block.

    These networks are so small that one thread is as fast as two (measured). One thread also gives
    the same numbers on any machine with any number of cores.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
