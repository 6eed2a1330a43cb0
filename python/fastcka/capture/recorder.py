"""Saving a training run at planned steps, and saying which of them were never reached."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from fastcka.capture.checkpoints import (
    Checkpoint,
    checkpoint_path,
    read_checkpoint,
    write_checkpoint,
)
from fastcka.errors import InputError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    import torch


class CheckpointRecorder:
    """Saves a network at planned steps, where a step is a number of *completed* updates.

    ``for step in range(2000)`` with the test ``step in {0, 100, 2000}`` in its body never sees
    2000 and saves the state after 101 updates as "100". The recorder counts for itself: call
    `after_update` once behind every optimizer update and the plan means what it says.

    Parameters
    ----------
    steps : iterable of int
        The planned steps, at least one; 0 is the network before its first update.
    directory : path
        Made if need be; receives ``checkpoint_step_00100.pt`` and so on.
    run : mapping
        What identifies the run (family, seed, data, ...); JSON-able, written into each file.

    Attributes
    ----------
    steps : tuple of int
        The planned steps, ascending.
    completed : int
        Updates counted so far.

    Raises
    ------
    InputError
        For a plan that cannot be, or if a planned file is there already and is another run's.
        At the end of the ``with`` block, if planned steps are missing.
    """

    def __init__(
        self,
        steps: Iterable[int],
        directory: str | os.PathLike[str],
        *,
        run: Mapping[str, Any],
    ) -> None:
        self.steps = planned_steps(steps)
        self.directory = Path(directory)
        self.completed = 0
        self._saved: set[int] = set()
        try:
            self._run: dict[str, Any] = json.loads(json.dumps(dict(run), allow_nan=False))
        except (TypeError, ValueError) as error:
            raise InputError(f"run must be JSON-able: {error}") from error
        self.directory.mkdir(parents=True, exist_ok=True)
        for step in self.steps:
            path = checkpoint_path(self.directory, step)
            if path.exists() and (other := read_checkpoint(path).run) != self._run:
                raise InputError(
                    f"{path} belongs to another run: {other}, not {self._run}; "
                    "record into another directory, or delete it"
                )

    @property
    def missing(self) -> tuple[int, ...]:
        """Planned steps that this recorder has not saved."""
        return tuple(step for step in self.steps if step not in self._saved)

    def before_training(self, model: torch.nn.Module) -> Path | None:
        """Save step 0 if it is planned; returns the file written."""
        if self.completed:
            raise InputError(
                f"before_training was called after {self.completed} updates; step 0 is gone"
            )
        return self._save(model, None)

    def after_update(
        self, model: torch.nn.Module, *, loss: float | torch.Tensor | None = None
    ) -> Path | None:
        """Count one completed update and save if the count is planned; returns the file written.

        ``loss`` is that of the update, a number or a tensor of one element.
        """
        self.completed += 1
        return self._save(model, loss)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self.missing:
            return
        message = (
            f"planned steps without a checkpoint in {self.directory}: "
            f"{', '.join(map(str, self.missing))}; {self.completed} updates were completed"
        )
        if error is not None:
            error.add_note(message)
            return
        if 0 in self.missing:
            message += " (step 0 is saved by before_training)"
        raise InputError(message)

    def _save(self, model: torch.nn.Module, loss: float | torch.Tensor | None) -> Path | None:
        if self.completed not in self.steps:
            return None
        path = checkpoint_path(self.directory, self.completed)
        state = dict(model.state_dict())
        write_checkpoint(path, Checkpoint(self.completed, state, _number(loss), self._run))
        self._saved.add(self.completed)
        return path


def _number(loss: float | torch.Tensor | None) -> float | None:
    if loss is None or isinstance(loss, int | float):
        return None if loss is None else float(loss)
    return float(loss.item())  # not float(loss), which warns about a tensor that needs a gradient


def planned_steps(steps: Iterable[int]) -> tuple[int, ...]:
    """The steps, ascending; InputError if one is not a whole number >= 0, or stands there twice."""
    planned = list(steps)
    for step in planned:
        if isinstance(step, bool) or not isinstance(step, int) or step < 0:
            raise InputError(f"steps must be integers of at least 0, not {step!r}")
    if not planned:
        raise InputError("steps is empty; a recorder needs at least one planned step")
    if len(set(planned)) != len(planned):
        raise InputError(f"steps names a step twice: {planned}")
    return tuple(sorted(planned))
