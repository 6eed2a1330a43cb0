"""The checkpoints of one training run: which of them can be used, and their weights."""

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
    """A checkpoint that is missing or cannot be used.

    Attributes
    ----------
    step, phase
        Step and phase in the plan; the phase is None if no phase has this step.
    reason
        Why the checkpoint cannot be used.
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
        Step -> file or folder of a checkpoint that can be used, ascending.
    missing
        Checkpoints that are missing or cannot be used.
    doubtful
        A line for each group of checkpoints with the same weights.
    reading
        How the weights in the files are found; see `fastcka.capture.load_state`.
    """

    paths: dict[int, Path]
    missing: list[Missing]
    doubtful: list[str]
    reading: WeightOptions = field(default_factory=WeightOptions)

    def state(self, step: int) -> dict[str, torch.Tensor]:
        """Return the state dict at a step, on the CPU."""
        return load_state(self.paths[step], **asdict(self.reading))

    def weights(self, steps: Iterable[int]) -> dict[int, dict[str, NDArray[Any]]]:
        """Return step -> tensor name -> array. bfloat16 is converted to float32, which is exact."""
        return {
            step: {name: _array(tensor) for name, tensor in self.state(step).items()}
            for step in sorted(steps)
        }


def read_series(
    plan: CheckpointPlan, experiment: str, directory: Path, reading: WeightOptions
) -> Series:
    """Check every checkpoint of an experiment, including checkpoints that are not in the plan.

    Parameters
    ----------
    plan, experiment
        The plan, and the name of the experiment in it.
    directory
        The checkpoints are in ``<directory>/<experiment>/``.
    reading
        How the weights in the files are found; see `fastcka.capture.load_state`.

    Returns
    -------
    Series
        Its ``missing`` includes damaged checkpoints, and checkpoints that belong to another run
        than most of the others.
    """
    planned = plan.experiment(experiment)
    folder = experiment_folder(directory, experiment)
    names = {step: name for name, step in planned.phases.items()}
    try:
        existing = [file.step for file in find_checkpoints(folder)]
    except InputError as error:
        steps = planned.checkpoint_steps
        return Series({}, [Missing(step, names.get(step), str(error)) for step in steps], [])
    steps = tuple(sorted({*planned.checkpoint_steps, *existing}))
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
