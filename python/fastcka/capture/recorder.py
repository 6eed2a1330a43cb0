"""Saving a training run at planned steps, and reporting planned steps that were not saved."""

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
from fastcka.capture.torch_library import require_torch, writes_files
from fastcka.capture.wrappers import bare_state, unwrapped
from fastcka.errors import CheckpointWarning, InputError
from fastcka.files import make_folder

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path

    import torch

    from fastcka.capture.plan import CheckpointPlan

Contents = Literal["full", "weights", "safetensors"]


class CheckpointRecorder:
    """Saves a network at planned steps. A step is a number of *completed* updates.

    A loop ``for step in range(2000)`` that saves if ``step in {100, 1000, 2000}`` never reaches
    2000, and saves the state after 101 updates as "100". The recorder avoids this by counting
    updates: call `after_update` once after every optimizer update. The last step of the training is
    saved even if the plan does not contain it.

    A file is written as a whole or not at all, even if the process is killed, and is checked to
    load without running code. In distributed training, only the process of rank 0 writes.

    Parameters
    ----------
    plan : CheckpointPlan, mapping or path
        The plan, the JSON object of its file, or the path of the file.
    experiment : str
        The name of the experiment in the plan.
    directory : path
        The folder of all experiments. Files are named
        ``<directory>/<experiment>/checkpoint_step_00100.pt`` and so on. If the directory has the
        experiment's name, no further folder is added.
    model_config : mapping, optional
        A description from which the network can be built again, in JSON types. Default: the name of
        the network's class.
    seed : int, optional
        The seed of the run, which the files will contain.
    run_id : str, optional
        The id in all files of this run. Default: a random id. To resume an interrupted run, give
        its id.
    contents : {"full", "weights", "safetensors"}, default "full"
        Everything needed to resume training; or only the weights, as ``.pt`` or ``.safetensors``.
    overwrite : bool, default False
        Replace the checkpoints of another run, each when its new file is complete.
    exit_if_missing : bool, default False
        If planned steps are missing at the end, exit with status 1 instead of warning.

    Attributes
    ----------
    steps : tuple of int
        The planned steps, ascending.
    completed : int
        Number of updates counted.
    run_id : str
    folder : Path
        The folder of the files.

    Raises
    ------
    InputError
        If the plan or the experiment is invalid, or a planned file already exists and belongs to
        another run.
    WriteError
        If the folder cannot be created, or later a checkpoint cannot be written.

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
                f"contents: expected 'full', 'weights' or 'safetensors', got {contents!r}"
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
            raise InputError(f"model_config: expected JSON types: {error}") from error
        if writes_files():
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
        """Save step 0 if it is planned; return the file, or None if nothing was saved."""
        if self.completed:
            raise InputError(
                f"before_training was called after {self.completed} updates, too late for step 0; "
                "call it before the first update"
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
        """Count one completed update and save if this step is planned; return the file or None.

        Parameters
        ----------
        model : torch.nn.Module
            The network. The prefixes that `torch.compile`, DataParallel and DistributedDataParallel
            add to the names of weights are removed.
        optimizer : optimizer or sequence of them, optional
            The optimizer, whose state is needed to resume training from the file.
        loss : float or torch.Tensor of one element, optional
            The loss of the update.
        epoch : int or float, optional
            The epoch of the update.
        step : int, optional
            Number of completed updates, including this one. Default: one more than before. Give it
            after an interruption, for example.

        Raises
        ------
        InputError
            If ``step`` does not increase.
        """
        if self.completed == 0 and 0 in self.missing and writes_files() and step in (None, 1):
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
                f"step: expected the number of completed updates, more than {self.completed}, got "
                f"{step!r}; in a loop over range(n) give step + 1, or omit step"
            )
        self.completed = step
        return self._save(model, optimizer, loss, epoch)

    def finish(self) -> None:
        """Report missing planned steps once, with a `CheckpointWarning` or by exiting.

        The end of a ``with`` block does the same.
        """
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
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
        if not writes_files():
            self._saved.add(self.completed)  # the process of rank 0 saves it
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
        return [each.state_dict() for each in optimizer]
    return None if optimizer is None else optimizer.state_dict()


def _number(loss: float | torch.Tensor | None) -> float | None:
    if loss is None or isinstance(loss, int | float):
        return None if loss is None else float(loss)
    return float(loss.item())  # float(loss) would warn about a tensor with a gradient
