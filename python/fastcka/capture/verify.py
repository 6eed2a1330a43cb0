"""Checking that the checkpoints of a plan exist, are intact and belong to one run."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from fastcka.capture.checkpoints import checkpoint_path, read_checkpoint
from fastcka.capture.finding import CheckpointFile, find_checkpoints
from fastcka.capture.plan import as_plan, experiment_folder
from fastcka.capture.states import WeightOptions, weights_digest
from fastcka.errors import CorruptFileError, InputError, UnsafeFileError, WrongStepError
from fastcka.store.foreign.numpy_files import check_zip

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fastcka.capture.plan import CheckpointPlan

Status = Literal[
    "present", "missing", "truncated", "damaged", "wrong step", "another run", "unsafe"
]

_LONGEST_HEADER: Final = 100_000_000  # of the safetensors format


@dataclass(frozen=True)
class CheckedCheckpoint:
    """The result of checking one planned checkpoint.

    Attributes
    ----------
    experiment : str
    step : int
        The planned step.
    phase : str or None
        The plan's name for this step, if it has one.
    path : Path
        The file, or the expected file if it is missing.
    status : str
        ``"present"``, or the fault: ``"missing"``; ``"truncated"`` (the end of the file is
        missing); ``"damaged"`` (not a checkpoint, or the weights do not match the digest);
        ``"wrong step"`` (the file contains another step); ``"another run"`` (the run id differs
        from that of most checkpoints of the experiment, or, if two runs have equally many, from
        that of the later ones); ``"unsafe"`` (loading the file could run code).
    size : int or None
        Size in bytes; for a folder, of all its files.
    found_step : int or None
        The step in the file.
    run_id : str or None
        The run id; None for files that no recorder wrote.
    weights : str or None
        The digest of the weights, equal for equal weights; see `same_weights`.
    detail : str
        A description of the fault; empty if there is none.
    """

    experiment: str
    step: int
    phase: str | None
    path: Path
    status: Status
    size: int | None = None
    found_step: int | None = None
    run_id: str | None = None
    weights: str | None = None
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether the checkpoint is as planned."""
        return self.status == "present"


def verify_checkpoints(
    plan: CheckpointPlan | Mapping[str, Any] | str | os.PathLike[str],
    directory: str | os.PathLike[str],
    *,
    weights_key: str | None = None,
    strip: Sequence[str] = (),
    trust_pickle: bool = False,
) -> list[CheckedCheckpoint]:
    """Read every planned checkpoint in full and return its status.

    Parameters
    ----------
    plan : CheckpointPlan, mapping or path
        The plan, the JSON object of its file, or the path of the file.
    directory : path
        The folder of all experiments. Checkpoints are in ``<directory>/<experiment>/``, with any of
        the names that `find_checkpoints` knows.
    weights_key, strip, trust_pickle
        As for `load_state`.

    Returns
    -------
    list of CheckedCheckpoint
        One for each planned step, in the order of the plan.

    Raises
    ------
    InputError
        If the plan is invalid, or two files have the same step.
    """
    options = WeightOptions.checked(weights_key, strip, trust_pickle)
    checked: list[CheckedCheckpoint] = []
    for experiment, planned in as_plan(plan).experiments.items():
        folder = experiment_folder(directory, experiment)
        files = {file.step: file for file in find_checkpoints(folder)} if folder.is_dir() else {}
        names = {step: name for name, step in planned.phases.items()}
        results = [
            _checked(
                CheckedCheckpoint(
                    experiment, step, names.get(step), checkpoint_path(folder, step), "missing"
                ),
                files.get(step),
                options,
            )
            for step in planned.checkpoint_steps
        ]
        checked += _of_one_run(results)
    return checked


def _checked(
    entry: CheckedCheckpoint, file: CheckpointFile | None, options: WeightOptions
) -> CheckedCheckpoint:
    if file is None:
        return replace(entry, detail=f"{entry.path}: no such file")
    entry = replace(entry, path=file.path, size=_size(file.path))
    try:
        _check_zip_entries(file.path)
        inside = read_checkpoint(file.path, **asdict(options))
    except WrongStepError as error:
        return replace(entry, status="wrong step", found_step=error.step, detail=str(error))
    except UnsafeFileError as error:
        return replace(entry, status="unsafe", detail=str(error))
    except CorruptFileError as error:
        status: Status = "truncated" if _is_cut_off(file.path) else "damaged"
        return replace(entry, status=status, detail=str(error))
    except InputError as error:
        return replace(entry, status="damaged", detail=str(error))
    recorded = inside.digest if inside.run_id is not None else None  # read_checkpoint checked it
    return replace(
        entry,
        status="present",
        found_step=inside.step,
        run_id=inside.run_id,
        weights=recorded or weights_digest(inside.model_state_dict),
    )


def _check_zip_entries(path: Path) -> None:
    """Compare each zip entry of a `torch.save` file with its checksum, which loading ignores."""
    if path.is_dir():
        for file in path.iterdir():
            if file.suffix == ".bin" and file.is_file():
                _check_zip_entries(file)
    elif path.suffix != ".safetensors" and _is_zip(path):
        check_zip(path)
        with zipfile.ZipFile(path) as archive:
            if (damaged := archive.testzip()) is not None:
                raise CorruptFileError(f"{path}: the zip entry {damaged} is damaged")


def _of_one_run(results: list[CheckedCheckpoint]) -> list[CheckedCheckpoint]:
    """Mark the checkpoints whose run differs from that of most checkpoints."""
    present = [entry for entry in results if entry.ok]
    counts = Counter(entry.run_id for entry in present)
    last = {entry.run_id: entry.step for entry in present}  # steps ascend
    run = max(counts, key=lambda run_id: (counts[run_id], last[run_id]), default=None)
    return [
        replace(
            entry,
            status="another run",
            detail=f"{entry.path}: expected run {run} as in most others, got {entry.run_id}",
        )
        if entry.ok and entry.run_id != run
        else entry
        for entry in results
    ]


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.iterdir() if file.is_file()]
    return sum(file.stat().st_size for file in files)


def _is_zip(path: Path) -> bool:
    """Whether a file has the end of a zip file, which may be damaged."""
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:
        return True


def _is_cut_off(path: Path) -> bool:
    """Whether a file, or a file in a folder, is shorter than its format requires."""
    if path.is_dir():
        return any(_is_cut_off(file) for file in path.iterdir() if file.is_file())
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        if path.suffix != ".safetensors":  # the directory of a zip file is at its end
            return start[:2] in (b"", b"P", b"PK") and not _is_zip(path)
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > size - 8:
            return length <= _LONGEST_HEADER
        header = file.read(length)
    try:
        entries = json.loads(header)
        end = max(entry["data_offsets"][1] for entry in entries.values() if "dtype" in entry)
        return 8 + length + int(end) > size
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
