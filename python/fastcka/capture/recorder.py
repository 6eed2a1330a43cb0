"""Saving a training run at planned steps, and saying which of them were never reached."""

from __future__ import annotations

import json
import secrets
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

from fastcka.capture.checkpoints import Checkpoint, checkpoint_path, write_checkpoint
from fastcka.capture.earlier import refuse_other_format, steps_of_run
from fastcka.capture.plan import as_plan, experiment_folder
from fastcka.capture.rng import rng_state
from fastcka.capture.torch_library import require_torch
from fastcka.capture.wrappers import bare_state, unwrapped
from fastcka.errors import CheckpointWarning, InputError
from fastcka.files import make_folder

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    import torch

    from fastcka.capture.plan import CheckpointPlan

Contents = Literal["full", "weights", "safetensors"]


class CheckpointRecorder:
    """Saves a network at planned steps, where a step is a number of *completed* updates.

    ``for step in range(2000)`` with the test ``step in {100, 1000, 2000}`` in its body never sees
    2000 and saves the state after 101 updates as "100". The recorder counts for itself: call
    `after_update` once behind every optimizer update and the plan means what it says. The last
    step of the training is saved even if the plan does not name it.

    Every file is there whole or not at all, whatever stops the process, and is known to load
    without running code. In a distributed training the process of rank 0 writes.

    Parameters
    ----------
    plan : CheckpointPlan, mapping or path
        The plan, the JSON object of its file, or the path of the file.
    experiment : str
        Its name in the plan.
    directory : path
        Of all experiments; ``<directory>/<experiment>/checkpoint_step_00100.pt`` and so on are
        written. A directory that is called like the experiment is taken as the experiment's.
    model_config : mapping, optional
        What is needed to build the network again; JSON-able. Else the name of its class is kept.
    seed : int, optional
        What the run was seeded with, to be kept in the files.
    run_id : str, optional
        What the files of this run have in common; a random one by default. Name that of an
        interrupted run to go on with it.
    contents : {"full", "weights", "safetensors"}, default "full"
        All that is needed to go on training from there; or the weights alone, as ``.pt`` or as
        ``.safetensors``.
    overwrite : bool, default False
        Replace another run's checkpoints, each when the new one is there.
    exit_if_missing : bool, default False
        If planned steps are missing at the end, exit with status 1, and not only warn.

    Attributes
    ----------
    steps : tuple of int
        The planned steps, ascending.
    completed : int
        Updates counted so far.
    run_id : str
    folder : Path
        Where the files are written.

    Raises
    ------
    InputError
        For a plan or an experiment that cannot be, or if a planned file is there already and is
        another run's.
    WriteError
        The folder cannot be made, or later a checkpoint not be written.

    Examples
    --------
    >>> plan = {"experiments": {"mlp": {"training_steps": 2, "checkpoint_steps": [0, 2]}}}
    >>> def train(model, optimizer, batches, loss_of):
    ...     with CheckpointRecorder(plan, "mlp", "checkpoints", seed=0) as recorder:
    ...         recorder.before_training(model, optimizer=optimizer)
    ...         for batch in batches:
    ...             optimizer.zero_grad()
    ...             loss = loss_of(model, batch)
    ...             loss.backward()
    ...             optimizer.step()
    ...             recorder.after_update(model, optimizer=optimizer, loss=loss)
    """

    def __init__(
        self,
        plan: CheckpointPlan | Mapping[str, Any] | str | os.PathLike[str],
        experiment: str,
        directory: str | os.PathLike[str],
        *,
        model_config: Mapping[str, Any] | None = None,
        seed: int | None = None,
        run_id: str | None = None,
        contents: Contents = "full",
        overwrite: bool = False,
        exit_if_missing: bool = False,
    ) -> None:
        if contents not in ("full", "weights", "safetensors"):
            raise InputError(
                f"contents must be 'full', 'weights' or 'safetensors', not {contents!r}"
            )
        planned = as_plan(plan).experiment(experiment)
        self.experiment = experiment
        self.steps = planned.checkpoint_steps
        self.folder = experiment_folder(directory, experiment)
        self.run_id = secrets.token_hex(8) if run_id is None else run_id
        self.completed = 0
        self._wanted = {*self.steps, planned.training_steps}
        self._saved: set[int] = set()
        self._seed = seed
        self._contents = contents
        self._suffix = ".safetensors" if contents == "safetensors" else ".pt"
        self._exit_if_missing = exit_if_missing
        self._ended = False
        try:
            self._config: dict[str, Any] | None = (
                None
                if model_config is None
                else json.loads(json.dumps(dict(model_config), allow_nan=False))
            )
        except (TypeError, ValueError) as error:
            raise InputError(f"model_config must be JSON-able: {error}") from error
        if _writes():
            make_folder(self.folder)
            refuse_other_format(self.folder, self._wanted, self._suffix)
            if not overwrite:
                self._saved = steps_of_run(self.folder, self._wanted, self._suffix, self.run_id)

    @property
    def missing(self) -> tuple[int, ...]:
        """Planned steps that have no checkpoint of this run yet."""
        return tuple(step for step in self.steps if step not in self._saved)

    def before_training(
        self,
        model: torch.nn.Module,
        *,
        optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None = None,
    ) -> Path | None:
        """Save step 0 if it is planned; returns the file written."""
        if self.completed:
            raise InputError(
                f"before_training was called after {self.completed} updates; step 0 is gone"
            )
        return self._save(model, optimizer, None, None)

    def after_update(
        self,
        model: torch.nn.Module,
        *,
        optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None = None,
        loss: float | torch.Tensor | None = None,
        epoch: float | None = None,
        step: int | None = None,
    ) -> Path | None:
        """Count one completed update and save if the count is planned; returns the file written.

        Parameters
        ----------
        model : torch.nn.Module
            What `torch.compile`, DataParallel and DistributedDataParallel put before the names of
            the weights is taken off.
        optimizer : optimizer or sequence of them, optional
            To be able to go on training from the file.
        loss : float or torch.Tensor of one element, optional
            That of the update.
        epoch : int or float, optional
        step : int, optional
            How many updates are complete, this one included, where that is known better: after
            an interruption, say.

        Raises
        ------
        InputError
            If ``step`` does not go up.
        """
        if self.completed == 0 and 0 in self.missing and _writes() and step in (None, 1):
            warnings.warn(
                f"step 0 of {self.experiment} is planned and was not saved; call "
                "before_training(model) before the first update",
                CheckpointWarning,
                stacklevel=2,
            )
        if step is None:
            step = self.completed + 1
        if isinstance(step, bool) or not isinstance(step, int) or step <= self.completed:
            raise InputError(
                f"after_update was given step={step!r} after {self.completed} updates; it is the "
                "number of completed updates, 1 after the first: for a loop over range(n) give "
                "step + 1, or leave it out"
            )
        self.completed = step
        return self._save(model, optimizer, loss, epoch)

    def finish(self) -> None:
        """Say which planned steps are missing, by a `CheckpointWarning` or by exiting; once.

        The end of a ``with`` block does the same.
        """
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self._end()
        elif self.missing:
            error.add_note(self._complaint())

    def _end(self) -> None:
        if self._ended or not self.missing:
            return
        self._ended = True
        if self._exit_if_missing:
            raise SystemExit(f"error: {self._complaint()}")
        warnings.warn(self._complaint(), CheckpointWarning, stacklevel=3)

    def _complaint(self) -> str:
        message = (
            f"planned steps of {self.experiment} without a checkpoint in {self.folder}: "
            f"{', '.join(map(str, self.missing))}; {self.completed} updates were completed"
        )
        return message + " (step 0 is saved by before_training)" * (0 in self.missing)

    def _save(
        self,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None,
        loss: float | torch.Tensor | None,
        epoch: float | None,
    ) -> Path | None:
        if self.completed not in self._wanted:
            return None
        if not _writes():
            self._saved.add(self.completed)  # by the process that does
            return None
        torch = require_torch()
        full = self._contents == "full"
        config = (
            {"class_name": type(unwrapped(model)).__name__}
            if self._config is None
            else self._config
        )
        seeds = {"torch": torch.initial_seed()}
        path = checkpoint_path(self.folder, self.completed, self._suffix)
        write_checkpoint(
            path,
            Checkpoint(
                step=self.completed,
                model_state_dict=bare_state(model),
                optimizer_state_dict=_optimizer_state(optimizer) if full else None,
                loss=_number(loss),
                epoch=epoch,
                model_config=config,
                experiment_name=self.experiment,
                run_id=self.run_id,
                seeds=seeds if self._seed is None else {"run": self._seed, **seeds},
                rng_state=rng_state() if full else None,
            ),
        )
        self._saved.add(self.completed)
        return path


def _optimizer_state(
    optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None,
) -> Any:
    if isinstance(optimizer, Sequence):
        return [one.state_dict() for one in optimizer]
    return None if optimizer is None else optimizer.state_dict()


def _number(loss: float | torch.Tensor | None) -> float | None:
    if loss is None or isinstance(loss, int | float):
        return None if loss is None else float(loss)
    return float(loss.item())  # not float(loss), which warns about a tensor that needs a gradient


def _writes() -> bool:
    """Whether this process writes: it is alone, or of rank 0."""
    distributed = require_torch().distributed
    if distributed.is_available() and distributed.is_initialized():
        return bool(distributed.get_rank() == 0)
    return True
