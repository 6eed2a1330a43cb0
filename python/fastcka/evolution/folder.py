"""The output folder: which results in it belong to the same input, and which would be lost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastcka.capture.plan import CheckpointPlan
from fastcka.errors import InputError
from fastcka.evolution.analysis import SUFFIX, analysis_path, find_analyses, read_analysis
from fastcka.evolution.figures import FIGURES
from fastcka.evolution.phases import Phases
from fastcka.evolution.schema import Analysis
from fastcka.evolution.summary import SUMMARY
from fastcka.files import make_folder

_OTHER = {
    "phases": "other phases",
    "checkpoints": "other checkpoints",
    "other": "another second seed",
    "weights_key": "another weights_key",
    "strip": "another strip",
    "model": "another model",
    "probe": "another probe",
    "pool": "another pooling",
    "layers": "another list of layers",
}
_ADDABLE = {"other", "model", "probe", "pool", "layers"}
"""Input that an earlier analysis may lack."""
_REMEDY = "choose another folder, or replace the results with overwrite=True (--overwrite)"


def claim(
    output: Path,
    plan: CheckpointPlan,
    inputs: Mapping[str, Any],
    *,
    overwrite: bool,
) -> list[Path]:
    """Make the folder; refuse results of other input, and files that would be replaced.

    Results of the same input may be computed again. Input that an earlier analysis lacked (a model,
    say) may be added, because nothing is lost.

    Parameters
    ----------
    output
        The folder.
    plan
        Its experiments and their phases.
    inputs
        Name -> value of the other inputs: "checkpoints", "other", "weights_key", "strip", "model",
        "probe", "pool" and "layers"; None if not given.
    overwrite
        Accept all results of `fastcka.evolution.evolve` in the folder.

    Returns
    -------
    list of Path
        Files of experiments that the plan does not have; with ``overwrite`` only. Remove them when
        the new results are complete.

    Raises
    ------
    InputError
        If the folder contains results of other input and ``overwrite`` is False, contains an
        analysis of another experiment that cannot be read, or is a file.
    WriteError
        If the folder cannot be created.
    """
    analyses = find_analyses(output)
    leftover: list[Path] = []
    for path in analyses:
        name = path.name.removesuffix(SUFFIX)
        if name not in plan.experiments:
            experiment = read_analysis(path)["experiment"]
            if not overwrite:
                raise InputError(
                    f"output: {output} contains results of experiment {experiment!r}, which the "
                    f"plan does not have; {_REMEDY}"
                )
            leftover += [path, *(figure for figure in _figures(output, name) if figure.is_file())]
        elif not overwrite:
            phases = Phases(plan.experiments[name].phases)
            _require_same_input(output, _read(path), {"phases": dict(phases.steps), **inputs})
    if not overwrite:
        _require_no_strays(output, plan, {path.name for path in analyses})
    if output.exists() and not output.is_dir():
        raise InputError(f"output: expected a folder, got the file {output}; choose another one")
    make_folder(output)
    return leftover


def _read(path: Path) -> Analysis:
    try:
        return read_analysis(path)
    except InputError as error:
        raise InputError(f"output: {error}; {_REMEDY}") from error


def _require_same_input(output: Path, analysis: Analysis, inputs: Mapping[str, Any]) -> None:
    earlier: dict[str, Any] = {
        "phases": analysis["phases"],
        **analysis["sources"],
        **analysis["settings"],
    }
    for name, value in inputs.items():
        before = earlier.get(name)
        if before != value and not (before is None and name in _ADDABLE):
            raise InputError(
                f"output: {output} contains results of experiment {analysis['experiment']!r} with "
                f"{_OTHER[name]}: {_text(before)} there, {_text(value)} now; {_REMEDY}"
            )


def _require_no_strays(output: Path, plan: CheckpointPlan, analyses: set[str]) -> None:
    """Refuse to replace figures and a summary that no analysis in the folder explains."""
    files = [
        figure
        for name in plan.experiments
        if analysis_path(output, name).name not in analyses
        for figure in _figures(output, name)
    ]
    files += [] if analyses else [output / SUMMARY]
    for path in files:
        if path.exists():
            raise InputError(
                f"output: {output} contains {path.name}, but no analysis that it was made from; "
                f"{_REMEDY}"
            )


def _figures(output: Path, experiment: str) -> list[Path]:
    return [output / f"{experiment}_{figure}.png" for figure in FIGURES]


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {step}" for name, step in value.items())
    return "none" if value is None else repr(value)
