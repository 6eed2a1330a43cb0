"""Callbacks that run the recorder inside the trainers of Hugging Face and Lightning."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from fastcka.errors import MissingExtraError

if TYPE_CHECKING:
    from types import ModuleType

    from fastcka.capture.recorder import CheckpointRecorder


def huggingface_callback(recorder: CheckpointRecorder) -> Any:
    """Return a ``transformers.TrainerCallback`` for ``Trainer(callbacks=[...])`` that records.

    Steps are the trainer's optimizer updates, regardless of gradient accumulation. The files
    contain no loss, because the trainer does not pass the loss of an update to its callbacks.

    Raises
    ------
    MissingExtraError
        If transformers is not installed.
    """
    base = _imported("huggingface_callback", "transformers").TrainerCallback

    class Callback(base):  # type: ignore[misc,valid-type]  # found at run time
        def on_train_begin(self, _args: Any, state: Any, _control: Any, **given: Any) -> None:
            if state.global_step == 0:
                recorder.before_training(given["model"], optimizer=given.get("optimizer"))

        def on_step_end(self, _args: Any, state: Any, _control: Any, **given: Any) -> None:
            recorder.after_update(
                given["model"],
                optimizer=given.get("optimizer"),
                epoch=state.epoch,
                step=state.global_step,
            )

        def on_train_end(self, *_: Any, **__: Any) -> None:
            recorder.finish()

    return Callback()


def lightning_callback(recorder: CheckpointRecorder) -> Any:
    """Return a Lightning ``Callback`` for ``Trainer(callbacks=[...])`` that records.

    Its class is from ``lightning``, or from ``pytorch_lightning`` if only that one is imported.
    Steps are the trainer's ``global_step``, which counts the updates of all optimizers.

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
                recorder.before_training(pl_module, optimizer=trainer.optimizers)

        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *_: Any) -> None:
            if trainer.global_step > recorder.completed:  # not while gradients accumulate
                recorder.after_update(
                    pl_module,
                    optimizer=trainer.optimizers,
                    loss=outputs.get("loss") if isinstance(outputs, dict) else outputs,
                    epoch=trainer.current_epoch,
                    step=trainer.global_step,
                )

        def on_train_end(self, *_: Any) -> None:
            recorder.finish()

    return Callback()


def _imported(what: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        library = name.partition(".")[0]
        raise MissingExtraError(
            f"{what} needs {library}, which is not installed: pip install {library}"
        ) from error
