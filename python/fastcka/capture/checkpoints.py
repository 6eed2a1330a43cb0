"""One file a step: its name, what it holds, how it is written and how it is read back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastcka.capture.finding import step_in_name
from fastcka.capture.states import Reading, read_parts, require_named_step, weights_digest
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
    """The state of a training after ``step`` completed updates; the keys of a checkpoint file.

    Attributes
    ----------
    step : int
        Completed updates; 0 is the initialization.
    model_state_dict : dict of str to torch.Tensor
        On the CPU, whatever device it was saved from.
    optimizer_state_dict : dict, list of dict, or None
        That of the optimizer, or of several; None if only the weights were saved.
    loss : float or None
        The training loss of the last update; None at step 0.
    epoch : int, float or None
        As the training loop counts it.
    model_config : dict or None
        What the recorder was told about the network; JSON-able.
    experiment_name : str or None
        Its name in the plan.
    run_id : str or None
        The same in all checkpoints of one training run; None in files that no recorder wrote.
    seeds : dict of str to int
        What the run was seeded with: ``run``, as the recorder was told, and ``torch``, the initial
        seed of PyTorch's generator.
    rng_state : dict or None
        See `fastcka.capture.rng`; None if only the weights were saved.
    digest : str or None
        That of the weights. Reading checks it.
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
    """Where the checkpoint of ``step`` lies: ``<directory>/checkpoint_step_00100.pt``."""
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
        A file, or a folder of the Hugging Face trainer.
    weights_key, strip, trust_pickle
        As for `load_state`.

    Returns
    -------
    Checkpoint
        Fields that the file does not have are None or empty, but for the weights, and the step,
        which its name may say.

    Raises
    ------
    InputError
        If the file is absent, a field is of another type, or no step is known.
    WrongStepError
        If it contains another step than its name says.
    CorruptFileError
        If it is damaged or cut off, or its weights do not agree with its digest.
    UnsafeFileError
        If loading it could run code.
    MissingExtraError
        If PyTorch or safetensors is not installed.
    """
    path = Path(path)
    content, state = read_parts(path, Reading.of(weights_key, strip, trust_pickle))
    require_named_step(path, content)
    noted = noted_steps(content)
    if "step" in content and "step" not in noted:
        raise InputError(f"{path}: field 'step' is {type(content['step']).__name__}, not int")
    step = step_in_name(path)
    if step is None:
        step = next(iter(noted.values()), None)
    if step is None:
        raise InputError(
            f"{path}: its step is unknown: the name does not say it, and there is no field "
            f"{' or '.join(map(repr, STEP_FIELDS))}; the fields are "
            f"{', '.join(sorted(map(repr, content))) or 'none'}"
        )
    _check_fields(path, content)
    known = {entry.name for entry in fields(Checkpoint)}
    values = {key: value for key, value in content.items() if key in known}
    return Checkpoint(**{**values, "step": step, "model_state_dict": state})


def _check_fields(path: Path, content: dict[str, Any]) -> None:
    for key, types in _TYPES.items():
        if key in content and not isinstance(content[key], types):
            came = type(content[key]).__name__
            raise InputError(f"{path}: field {key!r} is {came}, not {types[0].__name__}")


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; ``path`` holds its old content or the whole new one, never a part.

    The name's ending, .pt or .safetensors, is the format; the second has neither the optimizer's
    state nor the random number generators'. The digest is made here.

    Raises
    ------
    InputError
        If the checkpoint holds something that could not be loaded without running code.
    WriteError
        If the file cannot be written.
    """
    torch = require_torch()
    content = {entry.name: getattr(checkpoint, entry.name) for entry in fields(checkpoint)}
    content["digest"] = weights_digest(checkpoint.model_state_dict)
    if path.suffix == ".safetensors":
        _write_safetensors(path, content)
        return
    with replaced_file(path) as beside:
        with new_stream(beside) as file:  # torch would report a full disk as a RuntimeError
            torch.save(content, file)
        try:
            torch.load(beside, map_location="cpu", weights_only=True, mmap=True)
        except Exception as error:
            reason = str(error).partition("\n")[0]
            raise InputError(
                f"{path}: not written, as it could not be loaded again without running code; the "
                "optimizer's state or another field holds more than tensors and plain values "
                f"(make numbers Python's: float(rate)): {reason}"
            ) from error


def _write_safetensors(path: Path, content: dict[str, Any]) -> None:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import save_file
    except ImportError as error:
        raise MissingExtraError.of(f"writing {path}", "safetensors", "torch") from error
    metadata = {key: json.dumps(value) for key, value in content.items() if key not in _TENSORS}
    # The format has no shared memory, such as that of tied weights: each has its own copy.
    tensors = {
        name: value.clone().contiguous() for name, value in content["model_state_dict"].items()
    }
    with replaced_file(path) as beside:
        try:
            save_file(tensors, beside, metadata={"format": "pt", **metadata})
        except SafetensorError as error:
            raise WriteError(None, f"cannot be written: {error}", str(path)) from error
