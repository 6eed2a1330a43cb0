"""Checkpoints from before that are in the folder of a recorder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastcka.capture.checkpoints import checkpoint_path
from fastcka.capture.contents import read_content
from fastcka.capture.step_check import check_step
from fastcka.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


def steps_of_run(folder: Path, steps: Iterable[int], suffix: str, run_id: str) -> set[int]:
    """Return the steps that this run has already saved.

    Raises
    ------
    InputError
        If a file belongs to another run, or its step differs from the step in its name.
    """
    saved = set()
    for step in sorted(steps):
        path = checkpoint_path(folder, step, suffix)
        if not path.exists():
            continue
        fields = _fields(path)
        other = fields.get("run_id")
        if other != run_id:
            given = "a file without a run id" if other is None else f"{other!r}"
            raise InputError(
                f"{path}: expected a checkpoint of run {run_id!r}, got {given}; record into "
                "another directory, delete the file, give overwrite=True, or resume that run with "
                "its run_id"
            )
        check_step(path, fields, step)
        saved.add(step)
    return saved


def _fields(path: Path) -> Mapping[str, Any]:
    content = read_content(path)
    return content if isinstance(content, dict) else {}


def refuse_other_format(folder: Path, steps: Iterable[int], suffix: str) -> None:
    """Raise InputError if a step exists in the other format: two files for a step are ambiguous."""
    other = ".pt" if suffix == ".safetensors" else ".safetensors"
    for step in sorted(steps):
        if (path := checkpoint_path(folder, step, other)).exists():
            raise InputError(
                f"{path} exists, and {path.with_suffix(suffix).name} would be a second file for "
                "the same step; record into another directory, or delete it"
            )
