"""Callbacks for the trainers of Hugging Face and Lightning, for a recorder or a monitor."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from fastcka.capture.monitor import CKAMonitor
from fastcka.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    import torch

    from fastcka.capture.recorder import CheckpointRecorder

    Observer = CheckpointRecorder | CKAMonitor


def huggingface_callback(
    observer: Observer, *, log: Callable[[dict[str, float]], object] | None = None
) -> Any:
    """Return a ``transformers.TrainerCallback`` for ``Trainer(callbacks=[...])``.

    It records checkpoints, or monitors CKA. Steps are the trainer's optimizer updates, regardless
    of gradient accumulation. The files of a recorder contain no loss, because the trainer does not
    pass the loss of an update to its callbacks.

    Parameters
    ----------
    observer : CheckpointRecorder or CKAMonitor
        What to do in each update.
    log : callable, optional
        Receives each set of values of a monitor: ``trainer.log`` passes them on to TensorBoard,
        Weights & Biases and so on. Default: they are only appended to the ``log_history`` of the
        trainer's state. The names are ``cka/previous/LAYER`` and so on. ``cka_step`` is the step
        that they belong to. Values with the final step are logged at the end of the training.

    Raises
    ------
    MissingExtraError
        If transformers is not installed.
    """
    base = _imported("huggingface_callback", "transformers").TrainerCallback

    class Callback(base):  # type: ignore[misc,valid-type]  # found at run time
        def on_train_begin(self, _args: Any, state: Any, _control: Any, **given: Any) -> None:
            if state.global_step == 0:
                observer.before_training(given["model"], optimizer=given.get("optimizer"))

        def on_step_end(self, _args: Any, state: Any, _control: Any, **given: Any) -> None:
            observer.after_update(
                given["model"],
                optimizer=given.get("optimizer"),
                epoch=state.epoch,
                step=state.global_step,
            )
            self._log(state)

        def on_train_end(self, args: Any, state: Any, _control: Any, **given: Any) -> None:
            # The trainer has loaded the best checkpoint, whose step is another one.
            replaced = getattr(args, "load_best_model_at_end", False)
            _finish(observer, None if replaced else given.get("model"))
            self._log(state)

        def _log(self, state: Any) -> None:
            for step, values in _new_values(observer).items():
                entry = {**values, "cka_step": step}
                if log is not None:
                    log(entry)
                else:
                    place = {"epoch": state.epoch, "step": state.global_step}
                    state.log_history.append({**entry, **place})

    return Callback()


def lightning_callback(observer: Observer) -> Any:
    """Return a Lightning ``Callback`` for ``Trainer(callbacks=[...])``.

    It records checkpoints, or monitors CKA. Its class is from ``lightning``, or from
    ``pytorch_lightning`` if only that one is imported. Steps are the trainer's ``global_step``,
    which counts the updates of all optimizers.

    Parameters
    ----------
    observer : CheckpointRecorder or CKAMonitor
        What to do in each update. The values of a monitor go to all loggers of the trainer, with
        the step that they belong to and the names ``cka/previous/LAYER`` and so on. Values with the
        final step are logged at the end of the training.

    Raises
    ------
    MissingExtraError
        If Lightning is not installed.
    """
    older = "pytorch_lightning" in sys.modules and "lightning.pytorch" not in sys.modules
    name = "pytorch_lightning" if older else "lightning.pytorch"
    base = _imported("lightning_callback", name).Callback

    class Callback(base):  # type: ignore[misc,valid-type]  # found at run time
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            if trainer.global_step == 0:
                observer.before_training(pl_module, optimizer=trainer.optimizers)

        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *_: Any) -> None:
            if trainer.global_step > observer.completed:  # not while gradients accumulate
                observer.after_update(
                    pl_module,
                    optimizer=trainer.optimizers,
                    loss=outputs.get("loss") if isinstance(outputs, dict) else outputs,
                    epoch=trainer.current_epoch,
                    step=trainer.global_step,
                )
                self._log(trainer)

        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            _finish(observer, pl_module)
            self._log(trainer)

        def _log(self, trainer: Any) -> None:
            for step, values in _new_values(observer).items():
                for logger in trainer.loggers:
                    logger.log_metrics(values, step=step)

    return Callback()


def _finish(observer: Observer, model: torch.nn.Module | None) -> None:
    if isinstance(observer, CKAMonitor):
        observer.finish(model)
    else:
        observer.finish()


def _new_values(observer: Observer) -> dict[int, dict[str, float]]:
    return observer.new_values() if isinstance(observer, CKAMonitor) else {}


def _imported(what: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        library = name.partition(".")[0]
        raise MissingExtraError(
            f"{what} needs {library}, which is not installed: pip install {library}"
        ) from error
