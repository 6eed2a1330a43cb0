"""Checkpoint files, one for each step: their names and fields, writing and reading them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastcka.capture.finding import step_in_name
from fastcka.capture.states import WeightOptions, read_parts, require_named_step, weights_digest
from fastcka.capture.step_check import STEP_FIELDS, noted_steps
from fastcka.capture.torch_library import require_torch
from fastcka.errors import InputError, MissingExtraError, WriteError
from fastcka.files import new_stream, replaced_file

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import torch

_NUMBER = (int, float, type(None))
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "loss": _NUMBER,
    "epoch": _NUMBER,
    "model_config": (dict, type(None)),
    "experiment_name": (str, type(None)),
    "run_id": (str, type(None)),
    "seeds": (dict,),
    "digest": (str, type(None)),
}


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training run after ``step`` updates. Its fields are the keys of the file.

    Attributes
    ----------
    step : int
        Number of completed updates; 0 is the initialization.
    model_state_dict : dict of str to torch.Tensor
        The weights, on the CPU.
    optimizer_state_dict : dict, list of dict, or None
        The state of the optimizer, or of several; None if only the weights were saved.
    loss : float or None
        The training loss of the last update; None at step 0.
    epoch : int, float or None
        The epoch, as the training loop counts it.
    model_config : dict or None
        The description of the network that the recorder received; JSON types.
    experiment_name : str or None
        The experiment's name in the plan.
    run_id : str or None
        Equal in all checkpoints of one training run; None in files that no recorder wrote.
    seeds : dict of str to int
        The seeds of the run: ``run`` is the recorder's ``seed``, ``torch`` is the initial seed of
        PyTorch's generator.
    rng_state : dict or None
        The states of the random number generators (see `fastcka.capture.rng`); None if only the
        weights were saved.
    digest : str or None
        The digest of the weights, which is checked when the file is read.
    """

    step: int
    model_state_dict: dict[str, torch.Tensor]
    optimizer_state_dict: Any = None
    loss: float | None = None
    epoch: float | None = None
    model_config: dict[str, Any] | None = None
    experiment_name: str | None = None
    run_id: str | None = None
    seeds: dict[str, int] = field(default_factory=dict)
    rng_state: dict[str, Any] | None = None
    digest: str | None = None


_TENSORS: Final = {"model_state_dict", "optimizer_state_dict", "rng_state"}


def checkpoint_path(directory: str | os.PathLike[str], step: int, suffix: str = ".pt") -> Path:
    """Return the path of the checkpoint of a step: ``<directory>/checkpoint_step_00100.pt``."""
    return Path(directory) / f"checkpoint_step_{step:05d}{suffix}"


def read_checkpoint(
    path: str | os.PathLike[str],
    *,
    weights_key: str | None = None,
    strip: Sequence[str] = (),
    trust_pickle: bool = False,
) -> Checkpoint:
    """Read a checkpoint of any kind that `find_checkpoints` finds.

    Parameters
    ----------
    path : path
        A file, or a folder that the Hugging Face trainer wrote.
    weights_key, strip, trust_pickle
        As for `load_state`.

    Returns
    -------
    Checkpoint
        Fields that the file lacks are None or empty. The weights must exist. The step may be in the
        file or in its name.

    Raises
    ------
    InputError
        If the file does not exist, a field has the wrong type, or the step is unknown.
    WrongStepError
        If the step in the file differs from the step in its name.
    CorruptFileError
        If the file is damaged or cut off, or the weights do not match their digest.
    UnsafeFileError
        If loading the file could run code.
    MissingExtraError
        If PyTorch or safetensors is not installed.
    """
    path = Path(path)
    content, state = read_parts(path, WeightOptions.checked(weights_key, strip, trust_pickle))
    require_named_step(path, content)
    noted = noted_steps(content)
    if "step" in content and "step" not in noted:
        kind = type(content["step"]).__name__
        raise InputError(f"{path}: field 'step': expected an integer, got {kind}")
    step = step_in_name(path)
    if step is None:
        step = next(iter(noted.values()), None)
    if step is None:
        raise InputError(
            f"{path}: the step is unknown: expected it in the name or in a field "
            f"{' or '.join(map(repr, STEP_FIELDS))}; got the fields "
            f"{', '.join(sorted(map(repr, content))) or 'none'}"
        )
    _check_fields(path, content)
    known = {entry.name for entry in fields(Checkpoint)}
    values = {key: value for key, value in content.items() if key in known}
    return Checkpoint(**{**values, "step": step, "model_state_dict": state})


def _check_fields(path: Path, content: dict[str, Any]) -> None:
    for key, types in _TYPES.items():
        if key in content and not isinstance(content[key], types):
            kind = type(content[key]).__name__
            raise InputError(f"{path}: field {key!r}: expected {types[0].__name__}, got {kind}")


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint and its digest. The file is replaced as a whole or not at all.

    The suffix of the name, .pt or .safetensors, decides the format. A .safetensors file contains
    neither the state of the optimizer nor of the random number generators.

    Raises
    ------
    InputError
        If the checkpoint contains an object that cannot be loaded without running code.
    WriteError
        If the file cannot be written.
    """
    torch = require_torch()
    content = {entry.name: getattr(checkpoint, entry.name) for entry in fields(checkpoint)}
    content["digest"] = weights_digest(checkpoint.model_state_dict)
    if path.suffix == ".safetensors":
        _write_safetensors(path, content)
        return
    with replaced_file(path) as temporary:
        with new_stream(temporary) as file:  # torch would report a full disk as a RuntimeError
            torch.save(content, file)
        try:
            torch.load(temporary, map_location="cpu", weights_only=True, mmap=True)
        except Exception as error:
            reason = str(error).partition("\n")[0]
            raise InputError(
                f"{path}: not written, because it could not be loaded without running code; "
                "expected only tensors and plain values in the optimizer's state and in all other "
                f"fields (convert numbers to Python's, as in float(rate)): {reason}"
            ) from error


def _write_safetensors(path: Path, content: dict[str, Any]) -> None:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import save_file
    except ImportError as error:
        raise MissingExtraError.of(f"writing {path}", "safetensors", "torch") from error
    metadata = {key: json.dumps(value) for key, value in content.items() if key not in _TENSORS}
    # The format cannot share memory, so each of several tied weights is copied.
    tensors = {
        name: value.clone().contiguous() for name, value in content["model_state_dict"].items()
    }
    with replaced_file(path) as temporary:
        try:
            save_file(tensors, temporary, metadata={"format": "pt", **metadata})
        except SafetensorError as error:
            raise WriteError(None, f"cannot be written: {error}", str(path)) from error
