"""Finding the checkpoints of a run and their steps."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fastcka.capture.finding import WEIGHT_FILES, find_checkpoints, step_in_name, step_of_name
from fastcka.capture.pretrained import MODEL_CONFIG
from fastcka.capture.states import WeightOptions, read_parts
from fastcka.capture.step_check import COUNT_FIELDS, STEP_FIELDS, check_step
from fastcka.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from fastcka.capture.config import CaptureRun
    from fastcka.capture.finding import CheckpointFile

_NAMED_STEP = re.compile(r"step[-_=]?(\d+)")
_SHOWN = 5


class RunFile(NamedTuple):
    """A step of a run, and where its weights are.

    Attributes
    ----------
    step
        The step.
    path
        The checkpoint or the folder of the pretrained model; None if the factory loads the weights
        or the model is on the Hub.
    revision
        The revision of a pretrained model on the Hub; None for its default branch.
    """

    step: int
    path: Path | None
    revision: str | None = None


def files_of_run(run: CaptureRun) -> list[RunFile]:
    """Return the checkpoints that a run requests, by ascending step.

    Raises
    ------
    InputError
        If there are no checkpoints, a step is missing, or the step of a single checkpoint is
        unknown.
    """
    if run.pretrained is not None:
        return _of_pretrained(run, run.pretrained)
    if run.checkpoints is None:
        return [RunFile(run.step or 0, None)]
    if run.checkpoints.is_file() or (run.step is not None and _has_weights(run.checkpoints)):
        return [RunFile(_single_step(run, run.checkpoints), run.checkpoints)]
    if run.step is not None:
        raise InputError(
            f"{run.checkpoints}: step is for a single checkpoint; expected a file, or a folder "
            f"with one of {', '.join(WEIGHT_FILES)}; steps: [{run.step}] selects one of several"
        )
    checkpoints = find_checkpoints(run.checkpoints, step_pattern=run.step_pattern)
    if not checkpoints:
        raise InputError(_no_checkpoint(run, run.checkpoints))
    return _selected(run, run.checkpoints, checkpoints)


def _selected(run: CaptureRun, folder: Path, checkpoints: list[CheckpointFile]) -> list[RunFile]:
    files = [RunFile(file.step, file.path) for file in checkpoints]
    if run.steps is None:
        return files
    by_step = {file.step: file for file in files}
    if absent := sorted(set(run.steps) - by_step.keys()):
        raise InputError(
            f"{folder}: steps: no checkpoint for {', '.join(map(str, absent))}; expected "
            f"some of {', '.join(map(str, by_step))}"
        )
    return [by_step[step] for step in sorted(run.steps)]


def _of_pretrained(run: CaptureRun, name: str) -> list[RunFile]:
    if run.revisions is not None:
        if Path(name).is_dir():
            raise InputError(f"{name}: revisions are for a model on the Hub, and this is a folder")
        steps = {revision: _step_of_revision(run, revision) for revision in run.revisions}
        if len(set(steps.values())) < len(steps):
            raise InputError(f"revisions of {name}: expected distinct steps, got {steps}")
        return [RunFile(steps[each], None, each) for each in sorted(steps, key=steps.__getitem__)]
    folder = Path(name) if Path(name).is_dir() else None
    if folder is None or (folder / MODEL_CONFIG).is_file():
        step = run.step
        if step is None and folder is not None:
            step = step_in_name(folder)
        if step is None:
            raise InputError(f"{name}: the name contains no step; give it, as in step: 0")
        return [RunFile(step, folder)]
    if run.step is not None:
        raise InputError(
            f"{folder}: step is for a single model, whose folder contains {MODEL_CONFIG}; "
            f"steps: [{run.step}] selects one of several"
        )
    checkpoints = [
        file
        for file in find_checkpoints(folder, step_pattern=run.step_pattern)
        if (file.path / MODEL_CONFIG).is_file()
    ]
    if not checkpoints:
        raise InputError(
            f"{folder}: expected {MODEL_CONFIG}, or folders such as checkpoint-500 that contain "
            "it; for other names write step_pattern"
        )
    return _selected(run, folder, checkpoints)


def _step_of_revision(run: CaptureRun, revision: str) -> int:
    """Return the number after "step" in a revision, or its only number."""
    if run.step is not None:
        return run.step
    if run.step_pattern is not None:
        step = step_of_name(Path(revision), run.step_pattern)
    else:
        named = _NAMED_STEP.search(revision)
        numbers = re.findall(r"\d+", revision)
        step = int(named[1]) if named else int(numbers[0]) if len(numbers) == 1 else None
    if step is None:
        raise InputError(
            f"revision {revision!r}: expected a number after 'step', or only one number; write "
            'step_pattern, as in step_pattern: "tokens(\\d+)B", or step for a single revision'
        )
    return step


def read_file(
    run: CaptureRun, file: RunFile, path: Path, *, trust_pickle: bool
) -> dict[str, torch.Tensor]:
    """Return the weights of a checkpoint after checking its step."""
    options = WeightOptions(run.weights_key, tuple(run.strip), trust_pickle)
    fields, state = read_parts(path, options)
    if run.check_step:
        _check(run, file, path, fields)
    return state


def _check(run: CaptureRun, file: RunFile, path: Path, fields: Mapping[str, Any]) -> None:
    names = STEP_FIELDS if run.step_pattern is None else COUNT_FIELDS
    origin = "its name" if run.step is None else "the key step"
    check_step(path, fields, file.step, names, origin)


def _single_step(run: CaptureRun, path: Path) -> int:
    if run.step is not None:
        return run.step
    if run.step_pattern is not None:
        step = step_of_name(path, run.step_pattern)
    else:
        step = step_in_name(path)
    if step is None:
        raise InputError(f"{path}: the name contains no step; give it, as in step: 0")
    return step


def _has_weights(folder: Path) -> bool:
    return any((folder / name).exists() for name in WEIGHT_FILES)


def _no_checkpoint(run: CaptureRun, folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    given = f"{', '.join(names[:_SHOWN])}{more}" if names else "an empty folder"
    if run.step_pattern is not None:
        return (
            f"{folder}: expected a name that step_pattern {run.step_pattern!r} matches, got {given}"
        )
    single = "; step: 0 captures the folder as a single checkpoint" if _has_weights(folder) else ""
    return (
        f"{folder}: expected a name such as checkpoint_step_00100.pt, checkpoint-100/ or "
        f"epoch=0-step=100.ckpt, got {given}; for other names write, for example, step_pattern: "
        f"'{_suggested_pattern(names)}'{single}"
    )


def _suggested_pattern(names: list[str]) -> str:
    """Return a pattern for the last number in the first name that contains a number."""
    for name in names:
        number = re.search(r"\d+(?!.*\d)", Path(name).stem)
        if number is not None:
            before = re.sub(r"[.^$*+?{}\[\]\\|()]", r"\\\g<0>", name[: number.start()])
            return rf"{before}(\d+)"
    return r"epoch=(\d+)"
