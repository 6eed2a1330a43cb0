"""Finding checkpoints in a folder, by the names that trainers use or by a user's pattern."""

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
    # The name may also contain metrics, and -v1 if the plain name already existed.
    "lightning": re.compile(r"(.*-)?step=(?P<step>\d+)(-.*)?\.ckpt"),
}

#: Files in which the Hugging Face trainer saves the weights, in the order in which they are tried.
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
        The step in the name.
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
        The folder. Files with other names are ignored, such as Lightning's ``last.ckpt``, whose
        name contains no step.
    step_pattern : str, optional
        A regular expression that replaces the names that `CheckpointFile` lists. Every name that
        contains a match is a checkpoint. The group, such as ``(\d+)`` in ``epoch=(\d+)``, is the
        step.

    Raises
    ------
    InputError
        If the folder does not exist, two checkpoints have the same step, or the pattern is invalid.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise InputError(f"{directory}: no such folder; expected the checkpoints of a training run")
    pattern = None if step_pattern is None else checked_pattern(step_pattern)
    checkpoints: dict[int, CheckpointFile] = {}
    for path in sorted(directory.iterdir()):
        kind, step = _kind_and_step(path) if pattern is None else _matched(path, pattern)
        if kind is None:
            continue
        if step in checkpoints:
            narrower = ", or make step_pattern match only one of them" if pattern else ""
            raise InputError(
                f"{directory}: {checkpoints[step].path.name} and {path.name} are both step {step}; "
                f"move one of them elsewhere{narrower}"
            )
        checkpoints[step] = CheckpointFile(step, path, kind)
    return [checkpoints[step] for step in sorted(checkpoints)]


def checked_pattern(text: str) -> Pattern:
    """Compile a pattern that finds the step in a name.

    Raises
    ------
    InputError
        If the pattern is no regular expression, or has neither exactly one group nor a group named
        "step".
    """
    pattern = compiled(f"step_pattern {text[:60]!r}", text)
    if pattern.groups != 1 and "step" not in pattern.groupindex:
        raise InputError(
            f"step_pattern {text!r}: expected one group around the digits of the step, as in "
            f"{_EXAMPLE}, or a group named step, (?P<step>\\d+); got {pattern.groups} groups"
        )
    return pattern


def step_in_name(path: Path) -> int | None:
    """Return the step in a checkpoint's name; None if the name has another form."""
    kind, step = _kind_and_step(path)
    return None if kind is None else step


def step_of_name(path: Path, step_pattern: str) -> int | None:
    """Return the step that a user's pattern matches in a checkpoint's name; None without match."""
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
            f"{where}: takes longer than {_SECONDS} s for the name {path.name!r}; the usual cause "
            "is a repeat within a repeat, as in (a+)+"
        ) from None
    if match is None:
        return None, -1
    text = match["step" if "step" in pattern.groupindex else 1]
    if text is None or not (text.isascii() and text.isdigit()):
        raise InputError(
            f"{where}: expected a group that matches only digits, as in {_EXAMPLE}; got {text!r} "
            f"in {path.name!r}"
        )
    return "pattern", int(text)
