"""The plan file: the steps at which experiments are saved, and the phases of these steps."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from fastcka.capture.steps import planned_steps
from fastcka.config_problems import problems_text
from fastcka.errors import InputError
from fastcka.files import replaced_file
from fastcka.near_misses import near_misses
from fastcka.yaml_file import describe, field_text

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def _steps(value: object) -> object:
    if not isinstance(value, list | tuple):
        raise ValueError("expected a list of steps")
    return planned_steps(value)


def _experiments(value: object) -> object:
    if not isinstance(value, dict) or not value:
        raise ValueError("expected a mapping of at least one experiment")
    for name in value:
        if not isinstance(name, str) or name in {"", ".", ".."} or set(name) & {"/", "\\", "\0"}:
            raise ValueError(
                f"expected names that are possible for the folder DIR/<experiment>/, got {name!r}"
            )
    return value


Step = Annotated[int, Field(ge=0, strict=True)]


class PlannedPhase(BaseModel):
    """A named moment of a training run, such as "early".

    Attributes
    ----------
    step : int
        Number of completed updates.
    phase : float, str or None
        The fraction of the training, as in the file; not checked.
    rationale : str or None
        The reason for this step.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    step: Step
    phase: float | str | None = None
    rationale: str | None = None


class PlannedExperiment(BaseModel):
    """One training run and the steps at which it is saved.

    Attributes
    ----------
    training_steps : int
        The length of the training, in updates.
    checkpoints : dict of str to PlannedPhase
        Phase -> step. The number and the names of phases are free; their steps differ.
    checkpoint_steps : tuple of int
        All planned steps, ascending: the steps of the phases, and optionally others such as 0.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    training_steps: Step
    checkpoints: dict[str, PlannedPhase] = Field(default_factory=dict)
    checkpoint_steps: Annotated[tuple[int, ...], BeforeValidator(_steps)]

    @property
    def phases(self) -> dict[str, int]:
        """Phase -> step, the earliest first."""
        steps = {name: phase.step for name, phase in self.checkpoints.items()}
        return dict(sorted(steps.items(), key=lambda item: item[1]))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (last := self.checkpoint_steps[-1]) > self.training_steps:
            raise ValueError(
                f"checkpoint_steps contains {last}, but the training has {self.training_steps} "
                "updates (training_steps)"
            )
        taken: dict[int, str] = {}
        for name, phase in self.checkpoints.items():
            if phase.step not in self.checkpoint_steps:
                raise ValueError(
                    f"checkpoints.{name} is step {phase.step}, which checkpoint_steps "
                    f"{list(self.checkpoint_steps)} lacks"
                )
            if phase.step in taken:
                raise ValueError(
                    f"checkpoints.{taken[phase.step]} and checkpoints.{name} are the same step "
                    f"{phase.step}"
                )
            taken[phase.step] = name
        return self


class CheckpointPlan(BaseModel):
    """The content of a plan file: the steps at which each experiment is saved.

    Unknown keys are kept at every level, and `save` writes them again.

    Attributes
    ----------
    metadata : dict
        A free description of the plan.
    experiments : dict of str to PlannedExperiment
        Name -> experiment. The checkpoints of an experiment are in a folder with its name.

    Examples
    --------
    >>> plan = CheckpointPlan.of({"cnn": {"early": 100, "mid": 1000, "late": 2000}}, 2000)
    >>> plan.experiment("cnn").checkpoint_steps
    (0, 100, 1000, 2000)
    >>> plan.experiment("cnn").phases
    {'early': 100, 'mid': 1000, 'late': 2000}
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    metadata: dict[str, Any] = Field(default_factory=dict)
    experiments: Annotated[dict[str, PlannedExperiment], BeforeValidator(_experiments)]

    @classmethod
    def of(cls, experiments: Mapping[str, Mapping[str, int]], training_steps: int) -> Self:
        """Make a plan from experiment -> phase -> step, and add step 0 to each experiment.

        Step 0 is the network before its first update; the phases can be compared with it.

        Raises
        ------
        InputError
            If the plan is invalid.
        """
        content: dict[str, Any] = {}
        for name, phases in experiments.items():
            content[name] = {
                "training_steps": training_steps,
                "checkpoints": {
                    phase: {"step": step, "phase": _share(step, training_steps)}
                    for phase, step in phases.items()
                },
                "checkpoint_steps": sorted({0, *phases.values()}),
            }
        total = sum(len(entry["checkpoint_steps"]) for entry in content.values())
        metadata = {"total_checkpoints": total, "experiments": list(content)}
        return cls.parse({"metadata": metadata, "experiments": content})

    @classmethod
    def parse(cls, content: object, where: str = "the plan") -> Self:
        """Make a plan from the content of a JSON file. Error messages begin with ``where``.

        Raises
        ------
        InputError
            If the plan is invalid. The message names each missing or invalid field, what was
            expected and what was given.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            lines = [_problem(detail) for detail in error.errors(include_url=False)]
            raise InputError(problems_text(where, lines)) from None

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a plan file.

        Raises
        ------
        InputError
            If the file cannot be read, is not JSON, contains a key twice, or has an invalid field.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read as a plan: {error}") from None
        try:
            content = json.loads(text, object_pairs_hook=_keys_once)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: not valid JSON: {error}") from None
        return cls.parse(content, str(path))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plan file as a whole or not at all."""
        with replaced_file(Path(path)) as temporary:
            temporary.write_text(self.to_json(), encoding="utf-8")

    def to_json(self) -> str:
        """Return the text of the plan file, including unknown keys."""
        content = self.model_dump(mode="json", exclude_unset=True)
        return json.dumps(content, indent=2, ensure_ascii=False) + "\n"

    def experiment(self, name: str) -> PlannedExperiment:
        """Return an experiment; raise InputError with similar names if it does not exist."""
        if name not in self.experiments:
            known = near_misses(name, list(self.experiments), heading="planned")
            raise InputError(f"the plan has no experiment {name!r}{known}")
        return self.experiments[name]


def as_plan(plan: CheckpointPlan | Mapping[str, Any] | str | os.PathLike[str]) -> CheckpointPlan:
    """Return a plan that is given as a `CheckpointPlan`, as a JSON object, or as a file's path."""
    if isinstance(plan, CheckpointPlan):
        return plan
    if isinstance(plan, str | os.PathLike):
        return CheckpointPlan.load(plan)
    return CheckpointPlan.parse(plan)


def experiment_folder(directory: str | os.PathLike[str], experiment: str) -> Path:
    """Return the folder of an experiment's checkpoints: ``<directory>/<experiment>``.

    If the directory already has the experiment's name, it is returned unchanged: some training
    scripts pass the complete folder.
    """
    directory = Path(directory)
    return directory if directory.name == experiment else directory / experiment


def _share(step: int, training_steps: int) -> float | None:
    return round(step / training_steps, 6) if training_steps else None


def _keys_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} appears twice in one object")
    return unique


def _problem(detail: ErrorDetails) -> str:
    where = field_text(detail["loc"]) or "the content"
    match detail["type"]:
        case "missing":
            return f"{where}: missing; it is required"
        case "value_error":
            reason = str(detail["ctx"]["error"])
            if isinstance(detail["input"], dict) or "got " in reason:
                return f"{where}: {reason}"
        case "model_type" | "dict_type":
            reason = "expected an object"
        case _:
            reason = detail["msg"]
    return f"{where}: {reason}; got {describe(detail['input'])}"
