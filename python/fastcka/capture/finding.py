"""Checkpoints in a folder, by the names that trainers give them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from fastcka.errors import InputError

if TYPE_CHECKING:
    import os

Kind = Literal["step file", "huggingface", "lightning"]

_NAMES: Final[dict[Kind, re.Pattern[str]]] = {
    "step file": re.compile(r"checkpoint_step_(?P<step>\d+)\.(pt|safetensors)"),
    "huggingface": re.compile(r"checkpoint-(?P<step>\d+)"),
    # Metrics may stand in the name as well, and -v1 where the name was taken.
    "lightning": re.compile(r"(.*-)?step=(?P<step>\d+)(-.*)?\.ckpt"),
}

#: Where the Hugging Face trainer puts a model's weights, in the order in which they are looked for.
WEIGHT_FILES: Final = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


@dataclass(frozen=True)
class CheckpointFile:
    """A checkpoint on the disk.

    Attributes
    ----------
    step : int
        As its name has it.
    path : Path
        A file; a folder for the kind "huggingface".
    kind : {"step file", "huggingface", "lightning"}
        ``checkpoint_step_00100.pt`` (or .safetensors), ``checkpoint-100/``,
        ``epoch=1-step=100.ckpt``.
    """

    step: int
    path: Path
    kind: Kind


def find_checkpoints(directory: str | os.PathLike[str]) -> list[CheckpointFile]:
    """Return the checkpoints of one training run that lie in a folder, by ascending step.

    Other names are no checkpoints, such as Lightning's ``last.ckpt``, which tells no step.

    Raises
    ------
    InputError
        If there is no such folder, or two checkpoints are of one step.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise InputError(f"{directory}: no such folder; checkpoints of a training were expected")
    found: dict[int, CheckpointFile] = {}
    for path in sorted(directory.iterdir()):
        kind, step = _kind_and_step(path)
        if kind is None:
            continue
        if step in found:
            raise InputError(
                f"{directory}: {found[step].path.name} and {path.name} are both of step {step}; "
                "move one of them elsewhere"
            )
        found[step] = CheckpointFile(step, path, kind)
    return [found[step] for step in sorted(found)]


def step_in_name(path: Path) -> int | None:
    """Return the step that a checkpoint's name tells, if it does."""
    kind, step = _kind_and_step(path)
    return None if kind is None else step


def _kind_and_step(path: Path) -> tuple[Kind | None, int]:
    for kind, pattern in _NAMES.items():
        if match := pattern.fullmatch(path.name):
            return kind, int(match["step"])
    return None, -1
