"""Whether the checkpoints that a plan names are there, whole, and of one run."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from fastcka.capture.checkpoints import checkpoint_path, read_checkpoint
from fastcka.capture.finding import CheckpointFile, find_checkpoints
from fastcka.capture.plan import as_plan, experiment_folder
from fastcka.capture.states import Reading, weights_digest
from fastcka.errors import CorruptFileError, InputError, UnsafeFileError, WrongStepError
from fastcka.store.foreign_numpy import check_zip

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
    """What stands in the place of one planned checkpoint.

    Attributes
    ----------
    experiment : str
    step : int
        As planned.
    phase : str or None
        What the plan calls this step, if it does.
    path : Path
        Where it lies, or should.
    status : str
        ``"present"``, or what is wrong: ``"missing"``; ``"truncated"`` (its end is lacking);
        ``"damaged"`` (not a checkpoint, or not the weights that its digest is of);
        ``"wrong step"`` (another than planned inside); ``"another run"`` (its run id is not that
        of most checkpoints of the experiment, the later ones where two runs have equally many);
        ``"unsafe"`` (loading it could run code).
    size : int or None
        In bytes; of a folder, all its files.
    found_step : int or None
        The step inside the file.
    run_id : str or None
        None for files that no recorder wrote.
    weights : str or None
        The digest of the weights, the same for the same weights; see `same_weights`.
    detail : str
        What is wrong and where; empty if nothing is.
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
        """Whether it is as planned."""
        return self.status == "present"


def verify_checkpoints(
    plan: CheckpointPlan | Mapping[str, Any] | str | os.PathLike[str],
    directory: str | os.PathLike[str],
    *,
    weights_key: str | None = None,
    strip: Sequence[str] = (),
    trust_pickle: bool = False,
) -> list[CheckedCheckpoint]:
    """Read every planned checkpoint in full and say how it is found.

    Parameters
    ----------
    plan : CheckpointPlan, mapping or path
        The plan, the JSON object of its file, or the path of the file.
    directory : path
        Of all experiments: the checkpoints of one are in ``<directory>/<experiment>/``, under any
        of the names that `find_checkpoints` knows.
    weights_key, strip, trust_pickle
        As for `load_state`.

    Returns
    -------
    list of CheckedCheckpoint
        One for each planned step, in the order of the plan.

    Raises
    ------
    InputError
        If the plan cannot be, or two files are of one step.
    """
    reading = Reading.of(weights_key, strip, trust_pickle)
    checked: list[CheckedCheckpoint] = []
    for experiment, planned in as_plan(plan).experiments.items():
        folder = experiment_folder(directory, experiment)
        there = {found.step: found for found in find_checkpoints(folder)} if folder.is_dir() else {}
        names = {step: name for name, step in planned.phases.items()}
        results = [
            _checked(
                CheckedCheckpoint(
                    experiment, step, names.get(step), checkpoint_path(folder, step), "missing"
                ),
                there.get(step),
                reading,
            )
            for step in planned.checkpoint_steps
        ]
        checked += _of_one_run(results)
    return checked


def _checked(
    entry: CheckedCheckpoint, found: CheckpointFile | None, reading: Reading
) -> CheckedCheckpoint:
    if found is None:
        return replace(entry, detail=f"{entry.path}: there is no such file")
    entry = replace(entry, path=found.path, size=_size(found.path))
    try:
        _check_records(found.path)
        inside = read_checkpoint(found.path, **asdict(reading))
    except WrongStepError as error:
        return replace(entry, status="wrong step", found_step=error.step, detail=str(error))
    except UnsafeFileError as error:
        return replace(entry, status="unsafe", detail=str(error))
    except CorruptFileError as error:
        status: Status = "truncated" if _is_cut_off(found.path) else "damaged"
        return replace(entry, status=status, detail=str(error))
    except InputError as error:
        return replace(entry, status="damaged", detail=str(error))
    recorded = inside.digest if inside.run_id is not None else None  # reading has checked it
    return replace(
        entry,
        status="present",
        found_step=inside.step,
        run_id=inside.run_id,
        weights=recorded or weights_digest(inside.model_state_dict),
    )


def _check_records(path: Path) -> None:
    """Hold every record of a file of `torch.save` against its checksum; loading does not."""
    if path.is_dir():
        for file in path.iterdir():
            if file.suffix == ".bin" and file.is_file():
                _check_records(file)
    elif path.suffix != ".safetensors" and _is_zip(path):
        check_zip(path)
        with zipfile.ZipFile(path) as archive:
            if (damaged := archive.testzip()) is not None:
                raise CorruptFileError(f"{path}: its record {damaged} is damaged")


def _of_one_run(results: list[CheckedCheckpoint]) -> list[CheckedCheckpoint]:
    """Mark those whose run is not that of most."""
    present = [entry for entry in results if entry.ok]
    counts = Counter(entry.run_id for entry in present)
    last = {entry.run_id: entry.step for entry in present}  # steps ascend
    run = max(counts, key=lambda run_id: (counts[run_id], last[run_id]), default=None)
    return [
        replace(
            entry,
            status="another run",
            detail=f"{entry.path}: is of run {entry.run_id}, most others of {run}",
        )
        if entry.ok and entry.run_id != run
        else entry
        for entry in results
    ]


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.iterdir() if file.is_file()]
    return sum(file.stat().st_size for file in files)


def _is_zip(path: Path) -> bool:
    """Whether a file ends as zip files do; its end may be damaged."""
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:
        return True


def _is_cut_off(path: Path) -> bool:
    """Whether a file, or one in a folder, ends before its format says."""
    if path.is_dir():
        return any(_is_cut_off(file) for file in path.iterdir() if file.is_file())
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        if path.suffix != ".safetensors":  # a zip's directory stands at its end
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
