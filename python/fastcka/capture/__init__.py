"""Networks and checkpoints become representations: hooks on named modules, and a recorder of steps.

    from fastcka.capture import CheckpointRecorder, capture_activations, read_checkpoint

    with CheckpointRecorder((0, 100, 2000), "runs/cnn", run={"seed": 0}) as recorder:
        recorder.before_training(model)
        for batch in batches:
            loss = update(model, batch)
            recorder.after_update(model, loss=loss)

    layers = capture_activations(model, probe_images, ["conv1", "conv2", "logits"])

PyTorch is imported by the functions that need it, not by this package.
"""

from fastcka.capture.activations import capture_activations
from fastcka.capture.checkpoints import Checkpoint, checkpoint_path, read_checkpoint
from fastcka.capture.recorder import CheckpointRecorder, planned_steps

__all__ = [
    "Checkpoint",
    "CheckpointRecorder",
    "capture_activations",
    "checkpoint_path",
    "planned_steps",
    "read_checkpoint",
]
