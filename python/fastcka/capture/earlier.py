"""Checkpoints that lie already where a recorder is to write."""

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
    """Return the steps that this run has saved before.

    Raises
    ------
    InputError
        If a file is of another run, or contains another step than its name says.
    """
    saved = set()
    for step in sorted(steps):
        path = checkpoint_path(folder, step, suffix)
        if not path.exists():
            continue
        fields = _fields(path)
        other = fields.get("run_id")
        if other != run_id:
            whose = "that has no id" if other is None else f"{other!r}, not {run_id!r}"
            raise InputError(
                f"{path} belongs to another run, {whose}; record into another directory, delete "
                "it, give overwrite=True, or go on with that run by its run_id"
            )
        check_step(path, fields, step)
        saved.add(step)
    return saved


def _fields(path: Path) -> Mapping[str, Any]:
    content = read_content(path)
    return content if isinstance(content, dict) else {}


def refuse_other_format(folder: Path, steps: Iterable[int], suffix: str) -> None:
    """Raise InputError if a step is there in the other format: of two, which one counts?"""
    other = ".pt" if suffix == ".safetensors" else ".safetensors"
    for step in sorted(steps):
        if (path := checkpoint_path(folder, step, other)).exists():
            raise InputError(
                f"{path} is there, and {path.with_suffix(suffix).name} would come beside it; "
                "record into another directory, or delete it"
            )
