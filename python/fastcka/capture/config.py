"""The configuration of `fastcka capture`: the keys of its YAML file, typed strictly."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    model_validator,
)

from fastcka.capture.checkpoint_keys import STRICT, CheckpointKeys
from fastcka.capture.members import ModuleSide
from fastcka.capture.pooling import Pool
from fastcka.capture.positions import RowKind
from fastcka.config_problems import path_value, problem_text
from fastcka.errors import InputError
from fastcka.yaml_file import describe, field_text, read_yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic_core import ErrorDetails

    from fastcka.yaml_file import YamlDocument


def _distinct_steps(steps: list[int] | None) -> list[int] | None:
    if steps is not None and (not steps or min(steps) < 0 or len(set(steps)) != len(steps)):
        raise ValueError("expected distinct steps of 0 or more")
    return steps


def _distinct_names(runs: list[CaptureRun]) -> list[CaptureRun]:
    names = [run.name for run in runs]
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise ValueError(f"expected distinct names, got {', '.join(twice)} more than once")
    return runs


ReadPath = Annotated[Path, BeforeValidator(path_value)]


class CaptureRun(CheckpointKeys):
    """A training run, or a network without checkpoints.

    The keys of `CheckpointKeys` that the run sets override those of the configuration.

    Attributes
    ----------
    name
        The name of the model in the store.
    checkpoints
        The folder of the run's checkpoints, or a single checkpoint; None for a network whose
        factory loads the weights, such as a pretrained one.
    steps
        The steps to capture; None for all steps in the folder.
    step
        The step of a single checkpoint, or of a network without checkpoints.
    factors
        Values that distinguish the run from others: family, seed and so on.
    options
        Keyword arguments of the factory for this run.
    """

    name: str = Field(min_length=1)
    checkpoints: Annotated[Path | None, BeforeValidator(path_value)] = None
    steps: Annotated[list[int] | None, AfterValidator(_distinct_steps)] = None
    step: NonNegativeInt | None = None
    factors: dict[str, Any] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _weights_are_somewhere(self) -> Self:
        if self.checkpoints is None and self.step is None:
            raise ValueError(
                "checkpoints is missing: expected the folder of the training run; or, for a "
                "network whose function loads the weights, step: 0 or another number"
            )
        if self.steps is not None and (self.checkpoints is None or self.step is not None):
            raise ValueError(
                "steps selects checkpoints of a folder; for a single network give only step"
            )
        return self


class CaptureConfig(CheckpointKeys):
    """Training runs of networks from one factory, one probe set and one store.

    The keys of `CheckpointKeys` apply to every run that does not set them.

    Attributes
    ----------
    model
        The factory: ``package.module:function``.
    probe
        A ``.npz`` file; see `Probe.load`.
    store
        The folder of the store; created if it does not exist.
    layers, pool, side, masks, batch_axis, batch_size, check_rows
        As for `capture_activations`.
    rows
        What is a row: see `capture_representations`.
    input_batch_axis
        The axis along which the network expects the examples: ``batch_axis`` of `Probe`.
    device
        PyTorch's name of the device that runs the networks.
    runs
        The training runs.
    """

    model_config = STRICT | ConfigDict(protected_namespaces=())

    model: str
    probe: ReadPath
    store: ReadPath
    layers: list[str] = Field(min_length=1)
    rows: RowKind = "examples"
    pool: Pool | dict[str, Pool] = "flatten"
    side: ModuleSide = "output"
    masks: str | dict[str, str | None] | None = None
    batch_axis: NonNegativeInt | dict[str, NonNegativeInt] = 0
    input_batch_axis: NonNegativeInt | dict[str, NonNegativeInt] = 0
    batch_size: PositiveInt = 256
    check_rows: bool = True
    device: str = "cpu"
    runs: Annotated[list[CaptureRun], AfterValidator(_distinct_names)] = Field(min_length=1)


def load_capture(path: str | os.PathLike[str]) -> CaptureConfig:
    """Read the configuration of a capture; its paths are relative to the file.

    Raises
    ------
    InputError
        If the file cannot be read or is not plain YAML, or if a key is unknown, missing or invalid.
        The message names the file and each key, what was expected and what was given.
    """
    file = Path(path)
    document = read_yaml(file, error=InputError)
    try:
        config = CaptureConfig.model_validate(document.data)
    except ValidationError as error:
        lines = [_problem(detail, document) for detail in error.errors(include_url=False)]
        raise InputError("\n".join(f"{file}: {line}" for line in lines)) from None
    here = file.parent
    runs = [
        run.model_copy(
            update=run.or_those_of(config)
            | ({} if run.checkpoints is None else {"checkpoints": here / run.checkpoints})
        )
        for run in config.runs
    ]
    paths = {"probe": here / config.probe, "store": here / config.store, "runs": runs}
    return config.model_copy(update=paths)


def _problem(detail: ErrorDetails, document: YamlDocument) -> str:
    path = _known_part(detail["loc"], document.data)
    model = CaptureRun if path[:1] == ("runs",) else CaptureConfig
    return problem_text(
        detail,
        field_text(detail["loc"] if detail["type"] == "missing" else path),
        describe(detail["input"], document.written.get(path)),
        known=list(model.model_fields),
    )


def _known_part(loc: Sequence[str | int], data: Any) -> tuple[str | int, ...]:
    """Drop the parts that pydantic appends to the path of a value that may have two types."""
    known: list[str | int] = []
    for part in loc:
        try:
            data = data[part]
        except (LookupError, TypeError):
            continue
        known.append(part)
    return tuple(known)
