"""Checkpoints in a folder, by the names that trainers give them, or by a pattern of the user."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from fastcka.errors import InputError
from fastcka.files import is_temporary
from fastcka.store.patterns import compiled

if TYPE_CHECKING:
    import os

    from fastcka.store.patterns import Pattern

Kind = Literal["step file", "huggingface", "lightning", "pattern"]

_NAMES: Final[dict[Kind, re.Pattern[str]]] = {
    "step file": re.compile(r"checkpoint_step_(?P<step>\d+)\.(pt|pth|bin|ckpt|safetensors)"),
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

_SECONDS: Final = 1.0  # for one name, of at most 255 characters
_EXAMPLE: Final = r'step_pattern: "epoch=(\\d+)"'


@dataclass(frozen=True)
class CheckpointFile:
    """A checkpoint on the disk.

    Attributes
    ----------
    step : int
        As its name has it.
    path : Path
        A file; a folder for the kind "huggingface".
    kind : {"step file", "huggingface", "lightning", "pattern"}
        ``checkpoint_step_00100.pt`` (or .pth, .bin, .ckpt, .safetensors), ``checkpoint-100/``,
        ``epoch=1-step=100.ckpt``; or a name that ``step_pattern`` matches.
    """

    step: int
    path: Path
    kind: Kind


def find_checkpoints(
    directory: str | os.PathLike[str], *, step_pattern: str | None = None
) -> list[CheckpointFile]:
    r"""Return the checkpoints of one training run in a folder, by ascending step.

    Parameters
    ----------
    directory : path
        The folder. Other names are no checkpoints, such as Lightning's ``last.ckpt``, which
        contains no step.
    step_pattern : str, optional
        A regular expression in place of the names that `CheckpointFile` lists. Every name in which
        it is found is a checkpoint; its group, such as ``(\d+)`` in ``epoch=(\d+)``, is the step.

    Raises
    ------
    InputError
        If there is no such folder, two checkpoints are of one step, or the pattern is wrong.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise InputError(f"{directory}: no such folder; checkpoints of a training were expected")
    pattern = None if step_pattern is None else checked_pattern(step_pattern)
    found: dict[int, CheckpointFile] = {}
    for path in sorted(directory.iterdir()):
        kind, step = _kind_and_step(path) if pattern is None else _matched(path, pattern)
        if kind is None:
            continue
        if step in found:
            narrower = ", or make step_pattern match one of them alone" if pattern else ""
            raise InputError(
                f"{directory}: {found[step].path.name} and {path.name} are both of step {step}; "
                f"move one of them elsewhere{narrower}"
            )
        found[step] = CheckpointFile(step, path, kind)
    return [found[step] for step in sorted(found)]


def checked_pattern(text: str) -> Pattern:
    """Compile a pattern that finds the step in a name.

    Raises
    ------
    InputError
        If it is no regular expression, or has not one group, or one called "step".
    """
    pattern = compiled(f"step_pattern {text[:60]!r}", text)
    if pattern.groups != 1 and "step" not in pattern.groupindex:
        raise InputError(
            f"step_pattern {text!r}: has {pattern.groups} groups; expected one, around the digits "
            f"of the step, as in {_EXAMPLE}, or one called step: (?P<step>\\d+)"
        )
    return pattern


def step_in_name(path: Path) -> int | None:
    """Return the step that a checkpoint's name tells, if it does."""
    kind, step = _kind_and_step(path)
    return None if kind is None else step


def step_of_name(path: Path, step_pattern: str) -> int | None:
    """Return the step that a pattern of the user finds in a checkpoint's name."""
    kind, step = _matched(path, checked_pattern(step_pattern))
    return None if kind is None else step


def _kind_and_step(path: Path) -> tuple[Kind | None, int]:
    for kind, pattern in _NAMES.items():
        if match := pattern.fullmatch(path.name):
            return kind, int(match["step"])
    return None, -1


def _matched(path: Path, pattern: Pattern) -> tuple[Kind | None, int]:
    if is_temporary(path.name):
        return None, -1
    where = f"step_pattern {pattern.pattern!r}"
    try:
        match = pattern.search(path.name, timeout=_SECONDS)
    except (TimeoutError, MemoryError):
        raise InputError(
            f"{where}: takes too long for the name {path.name!r} (limit {_SECONDS} s); repeats "
            "within repeats, as in (a+)+, are the usual cause"
        ) from None
    if match is None:
        return None, -1
    text = match["step" if "step" in pattern.groupindex else 1]
    if text is None or not (text.isascii() and text.isdigit()):
        raise InputError(
            f"{where}: its group matches {text!r} in {path.name!r}; expected digits alone, as in "
            f"{_EXAMPLE}"
        )
    return "pattern", int(text)
