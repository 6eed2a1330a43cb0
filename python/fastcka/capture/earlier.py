"""Checkpoints that lie already where a recorder is to write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcka.capture.checkpoints import checkpoint_path
from fastcka.capture.states import read_content
from fastcka.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def steps_of_run(folder: Path, steps: Iterable[int], suffix: str, run_id: str) -> set[int]:
    """Return the steps that this run has saved before.

    Raises
    ------
    InputError
        If a file is of another run.
    """
    saved = set()
    for step in sorted(steps):
        path = checkpoint_path(folder, step, suffix)
        if not path.exists():
            continue
        other = read_content(path).get("run_id")
        if other != run_id:
            whose = "that has no id" if other is None else f"{other!r}, not {run_id!r}"
            raise InputError(
                f"{path} belongs to another run, {whose}; record into another directory, delete "
                "it, give overwrite=True, or go on with that run by its run_id"
            )
        saved.add(step)
    return saved


def refuse_other_format(folder: Path, steps: Iterable[int], suffix: str) -> None:
    """Raise InputError if a step is there in the other format: of two, which one counts?"""
    other = ".pt" if suffix == ".safetensors" else ".safetensors"
    for step in sorted(steps):
        if (path := checkpoint_path(folder, step, other)).exists():
            raise InputError(
                f"{path} is there, and {path.with_suffix(suffix).name} would come beside it; "
                "record into another directory, or delete it"
            )
