"""Which checkpoints of a run are captured, and under which steps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fastcka.capture.finding import WEIGHT_FILES, find_checkpoints, step_in_name, step_of_name
from fastcka.capture.states import Reading, read_parts
from fastcka.capture.step_check import COUNT_FIELDS, STEP_FIELDS, check_step
from fastcka.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from fastcka.capture.config import CaptureRun

_SHOWN = 5


class RunFile(NamedTuple):
    """A step of a run, and the checkpoint that contains its weights; None for the factory's."""

    step: int
    path: Path | None


def files_of_run(run: CaptureRun) -> list[RunFile]:
    """Return the checkpoints that a run asks for, by ascending step.

    Raises
    ------
    InputError
        If there are none, a step is absent, or the step of a single one is unknown.
    """
    if run.checkpoints is None:
        return [RunFile(run.step or 0, None)]
    if run.checkpoints.is_file() or (run.step is not None and _has_weights(run.checkpoints)):
        return [RunFile(_single_step(run, run.checkpoints), run.checkpoints)]
    if run.step is not None:
        raise InputError(
            f"{run.checkpoints}: step is for a single checkpoint; expected a file, or a folder "
            f"with one of {', '.join(WEIGHT_FILES)}; steps: [{run.step}] chooses among several"
        )
    found = find_checkpoints(run.checkpoints, step_pattern=run.step_pattern)
    if not found:
        raise InputError(_nothing_found(run, run.checkpoints))
    files = [RunFile(file.step, file.path) for file in found]
    if run.steps is None:
        return files
    of_step = {file.step: file for file in files}
    if absent := sorted(set(run.steps) - of_step.keys()):
        raise InputError(
            f"{run.checkpoints}: has no checkpoint of step {', '.join(map(str, absent))}; "
            f"it has {', '.join(map(str, of_step))}"
        )
    return [of_step[step] for step in sorted(run.steps)]


def read_file(
    run: CaptureRun, file: RunFile, path: Path, *, trust_pickle: bool
) -> dict[str, torch.Tensor]:
    """Return the weights of a checkpoint, once its step is found to be that of the run."""
    reading = Reading(run.weights_key, tuple(run.strip), trust_pickle)
    fields, state = read_parts(path, reading)
    if run.check_step:
        _check(run, file, path, fields)
    return state


def _check(run: CaptureRun, file: RunFile, path: Path, fields: Mapping[str, Any]) -> None:
    names = STEP_FIELDS if run.step_pattern is None else COUNT_FIELDS
    said = "its name says" if run.step is None else "step is"
    check_step(path, fields, file.step, names, said)


def _single_step(run: CaptureRun, path: Path) -> int:
    if run.step is not None:
        return run.step
    if run.step_pattern is not None:
        step = step_of_name(path, run.step_pattern)
    else:
        step = step_in_name(path)
    if step is None:
        raise InputError(f"{path}: its name does not say the step; write it, as in step: 0")
    return step


def _has_weights(folder: Path) -> bool:
    return any((folder / name).exists() for name in WEIGHT_FILES)


def _nothing_found(run: CaptureRun, folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    there = f"; it contains {', '.join(names[:_SHOWN])}{more}" if names else "; it is empty"
    if run.step_pattern is not None:
        return f"{folder}: step_pattern {run.step_pattern!r} matches no name{there}"
    single = "; step: 0 captures the folder as a single checkpoint" if _has_weights(folder) else ""
    return (
        f"{folder}: no name says the step as checkpoint_step_00100.pt, checkpoint-100/ and "
        f"epoch=0-step=100.ckpt do{there}; for other names write, for example, step_pattern: "
        f"'{_suggested_pattern(names)}'{single}"
    )


def _suggested_pattern(names: list[str]) -> str:
    """Return a pattern that finds the last number in the first name that has one."""
    for name in names:
        number = re.search(r"\d+(?!.*\d)", Path(name).stem)
        if number is not None:
            before = re.sub(r"[.^$*+?{}\[\]\\|()]", r"\\\g<0>", name[: number.start()])
            return rf"{before}(\d+)"
    return r"epoch=(\d+)"
