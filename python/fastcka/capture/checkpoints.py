"""One file a step: its name, what it holds, how it is written and how it is read back."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastcka.errors import InputError, MissingExtraError
from fastcka.files import replaced_file

if TYPE_CHECKING:
    import os
    from types import ModuleType

    import torch

_NAME = re.compile(r"checkpoint_step_(\d{5,})\.pt")
_TYPES: dict[str, tuple[type, ...]] = {
    "step": (int,),
    "model_state_dict": (dict,),
    "loss": (float, type(None)),
    "run": (dict,),
}


@dataclass(frozen=True)
class Checkpoint:
    """The state of a network after ``step`` completed updates.

    Attributes
    ----------
    step : int
        Completed updates; 0 is the initialization.
    model_state_dict : dict of str to torch.Tensor
        On the CPU, whatever device it was saved from.
    loss : float or None
        The training loss of the last update; None at step 0.
    run : dict
        What the recorder was told about the run, JSON-able.
    """

    step: int
    model_state_dict: dict[str, torch.Tensor]
    loss: float | None
    run: dict[str, Any]


def checkpoint_path(directory: str | os.PathLike[str], step: int) -> Path:
    """Where the checkpoint of ``step`` lies: ``<directory>/checkpoint_step_00100.pt``."""
    return Path(directory) / f"checkpoint_step_{step:05d}.pt"


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint; pickled code is refused (``weights_only``).

    Raises
    ------
    InputError
        If the file is absent, truncated, lacks a field, or holds another step than its name says.
    MissingExtraError
        If PyTorch is not installed.
    """
    torch = require_torch()
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} is not a file; a checkpoint was expected there")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch has no error of its own: six types for one broken file
        raise InputError(f"{path} cannot be read as a checkpoint: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds {type(content).__name__}, not a dict of checkpoint fields")
    for field, types in _TYPES.items():
        if field not in content:
            raise InputError(f"{path} has no field {field!r}; it has {sorted(map(str, content))}")
        if not isinstance(content[field], types):
            came = type(content[field]).__name__
            raise InputError(f"{path}: field {field!r} is {came}, not {types[0].__name__}")
    named = _NAME.fullmatch(path.name)
    if named and int(named.group(1)) != content["step"]:
        raise InputError(f"{path} holds step {content['step']}; its name says another")
    return Checkpoint(**{field: content[field] for field in _TYPES})


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; ``path`` holds its old content or the whole new one, never a part."""
    torch = require_torch()
    content = {field: getattr(checkpoint, field) for field in _TYPES}
    # An open file, not a path: torch would report a full disk as a RuntimeError.
    with replaced_file(path) as beside, beside.open("wb") as file:
        torch.save(content, file)


def require_torch() -> ModuleType:
    """Return PyTorch, or say which extra installs it."""
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError.of("fastcka.capture", "torch", "torch") from error
    return torch
