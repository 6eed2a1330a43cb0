"""Saving checkpoints at planned steps, and capturing the representations of networks.

    from fastcka.capture import CheckpointRecorder, capture_activations, load_state

    with CheckpointRecorder("plan.json", "cnn", "checkpoints", seed=0) as recorder:
        recorder.before_training(model)
        for batch in batches:
            loss = update(model, batch)
            recorder.after_update(model, loss=loss)

    model.load_state_dict(load_state("checkpoints/cnn/checkpoint_step_00100.pt"))
    layers = capture_activations(model, probe_images, ["conv1", "conv2", "logits"])

The functions that need PyTorch import it. Importing this package does not.
"""

from fastcka.capture.activations import capture_activations
from fastcka.capture.attention import Attention, capture_attention
from fastcka.capture.callbacks import huggingface_callback, lightning_callback
from fastcka.capture.checkpoints import Checkpoint, checkpoint_path, read_checkpoint
from fastcka.capture.comparing import compare_networks
from fastcka.capture.factory import build_model, load_factory, load_weights
from fastcka.capture.finding import CheckpointFile, find_checkpoints
from fastcka.capture.fitting import LoadedWeights
from fastcka.capture.monitor import CKAMonitor, CKARecord
from fastcka.capture.plan import (
    CheckpointPlan,
    PlannedExperiment,
    PlannedPhase,
    experiment_folder,
)
from fastcka.capture.pool_layers import pool_layers
from fastcka.capture.probe import Probe
from fastcka.capture.recorder import CheckpointRecorder
from fastcka.capture.representations import capture_representations
from fastcka.capture.rng import restore_rng_state, rng_state
from fastcka.capture.rows import CapturedRows, capture_rows
from fastcka.capture.states import load_state, weights_digest
from fastcka.capture.steps import planned_steps
from fastcka.capture.twins import same_weights
from fastcka.capture.verify import CheckedCheckpoint, verify_checkpoints

__all__ = [
    "Attention",
    "CKAMonitor",
    "CKARecord",
    "CapturedRows",
    "CheckedCheckpoint",
    "Checkpoint",
    "CheckpointFile",
    "CheckpointPlan",
    "CheckpointRecorder",
    "LoadedWeights",
    "PlannedExperiment",
    "PlannedPhase",
    "Probe",
    "build_model",
    "capture_activations",
    "capture_attention",
    "capture_representations",
    "capture_rows",
    "checkpoint_path",
    "compare_networks",
    "experiment_folder",
    "find_checkpoints",
    "huggingface_callback",
    "lightning_callback",
    "load_factory",
    "load_state",
    "load_weights",
    "planned_steps",
    "pool_layers",
    "read_checkpoint",
    "restore_rng_state",
    "rng_state",
    "same_weights",
    "verify_checkpoints",
    "weights_digest",
]
