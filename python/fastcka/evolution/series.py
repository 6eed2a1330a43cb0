"""The checkpoints of one training run: which can be used, which cannot and why, their weights."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcka.capture.finding import find_checkpoints
from fastcka.capture.plan import CheckpointPlan, experiment_folder
from fastcka.capture.states import WeightOptions, load_state
from fastcka.capture.twins import same_weights
from fastcka.capture.verify import verify_checkpoints
from fastcka.errors import InputError

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Missing:
    """A checkpoint that was planned or found, and cannot be used.

    Attributes
    ----------
    step, phase
        Of the plan; the phase is None for a step that stands for none.
    reason
        Why it cannot be used.
    """

    step: int
    phase: str | None
    reason: str


@dataclass(frozen=True)
class Series:
    """The checkpoints of one run.

    Attributes
    ----------
    paths
        Step -> file or folder of those that can be used, ascending.
    missing
        Those that are not there or cannot be used.
    doubtful
        A line for each group of checkpoints with the same weights.
    """

    paths: dict[int, Path]
    missing: list[Missing]
    doubtful: list[str]
    reading: WeightOptions = field(default_factory=WeightOptions)

    def state(self, step: int) -> dict[str, torch.Tensor]:
        """Return the state dict of a step, on the CPU."""
        return load_state(self.paths[step], **asdict(self.reading))

    def weights(self, steps: Iterable[int]) -> dict[int, dict[str, NDArray[Any]]]:
        """Return step -> tensor name -> array; bfloat16 becomes float32, which is exact."""
        return {
            step: {name: _array(tensor) for name, tensor in self.state(step).items()}
            for step in sorted(steps)
        }


def read_series(
    plan: CheckpointPlan, experiment: str, directory: Path, reading: WeightOptions
) -> Series:
    """Read every checkpoint of an experiment, planned or not, to see whether it can be used.

    Parameters
    ----------
    plan, experiment
        What is planned.
    directory
        Its checkpoints are in ``<directory>/<experiment>/``.
    reading
        How weights are found in the files; see `fastcka.capture.load_state`.

    Returns
    -------
    Series
        A damaged checkpoint, or one of another run than most are of, is among the missing.
    """
    planned = plan.experiment(experiment)
    folder = experiment_folder(directory, experiment)
    names = {step: name for name, step in planned.phases.items()}
    try:
        found = [file.step for file in find_checkpoints(folder)]
    except InputError as error:
        steps = planned.checkpoint_steps
        return Series({}, [Missing(step, names.get(step), str(error)) for step in steps], [])
    steps = tuple(sorted({*planned.checkpoint_steps, *found}))
    every = planned.model_copy(update={"checkpoint_steps": steps})
    checked = verify_checkpoints(
        plan.model_copy(update={"experiments": {experiment: every}}),
        directory,
        **asdict(reading),
    )
    return Series(
        {entry.step: entry.path for entry in checked if entry.ok},
        [
            Missing(entry.step, entry.phase, f"{entry.status}: {entry.detail}")
            for entry in checked
            if not entry.ok
        ],
        same_weights(checked),
        reading,
    )


def _array(tensor: torch.Tensor) -> NDArray[Any]:
    import torch

    plain = tensor.detach()
    return np.asarray((plain.float() if plain.dtype == torch.bfloat16 else plain).numpy())
