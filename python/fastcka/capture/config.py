"""The configuration of `fastcka capture`: the keys of its YAML file, typed strictly."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    NonNegativeInt,
    PositiveInt,
    Tag,
    ValidationError,
    model_validator,
)

from fastcka.capture.checkpoint_keys import STRICT, CheckpointKeys
from fastcka.capture.members import ModuleSide
from fastcka.capture.pooling import Pool
from fastcka.capture.positions import RowKind
from fastcka.capture.pretrained import AUTO_MODEL, NOT_OPTIONS, name_or_folder
from fastcka.capture.text_keys import TextKeys
from fastcka.config_problems import path_value, problem_text, problems_text
from fastcka.errors import InputError
from fastcka.yaml_file import describe, field_text, read_yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic_core import ErrorDetails

    from fastcka.yaml_file import YamlDocument


# Tags of the kinds of probe, which pydantic inserts into the path of a value.
_FILE: Final = "<file>"
_TEXTS: Final = "<texts>"


def _distinct_steps(steps: list[int] | None) -> list[int] | None:
    if steps is not None and (not steps or min(steps) < 0 or len(set(steps)) != len(steps)):
        raise ValueError("expected distinct steps of 0 or more")
    return steps


def _distinct_names(runs: list[CaptureRun]) -> list[CaptureRun]:
    names = [run.name for run in runs]
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise ValueError(f"expected distinct names, got {', '.join(twice)} more than once")
    return runs


def _in_list(layers: object) -> object:
    return [layers] if isinstance(layers, str) else layers


def _distinct_revisions(revisions: list[str] | None) -> list[str] | None:
    if revisions is not None and (not revisions or len(set(revisions)) != len(revisions)):
        raise ValueError("expected distinct revisions")
    return revisions


def _kind_of_probe(probe: object) -> str:
    return _TEXTS if isinstance(probe, dict | TextKeys) else _FILE


ReadPath = Annotated[Path, BeforeValidator(path_value)]
ProbeKeys = Annotated[
    Annotated[ReadPath, Tag(_FILE)] | Annotated[TextKeys, Tag(_TEXTS)],
    Discriminator(_kind_of_probe),
]
_OF_CHECKPOINTS: Final = ("weights_key", "strip", "strict", "check_step")


class CaptureRun(CheckpointKeys):
    """A training run, or a network without checkpoints.

    The keys of `CheckpointKeys` that the run sets override those of the configuration.

    Attributes
    ----------
    name
        The name of the model in the store.
    checkpoints
        The folder of the run's checkpoints, or a single checkpoint; None for a network whose
        factory loads the weights.
    pretrained
        Instead of checkpoints: a Hugging Face model by its name on the Hub or its folder, or a
        folder of such folders (``checkpoint-500``) that the Hugging Face trainer wrote.
    revisions
        Revisions of the pretrained model on the Hub. The number in a revision is its step.
    steps
        The steps to capture; None for all steps in the folder.
    step
        The step of a single checkpoint, of a network without checkpoints, or of a pretrained model.
    factors
        Values that distinguish the run from others: family, seed and so on.
    options
        Keyword arguments of the factory for this run; with ``pretrained``, of ``from_pretrained``.
    """

    name: str = Field(min_length=1)
    checkpoints: Annotated[Path | None, BeforeValidator(path_value)] = None
    pretrained: str | None = Field(default=None, min_length=1)
    revisions: Annotated[list[str] | None, AfterValidator(_distinct_revisions)] = None
    steps: Annotated[list[int] | None, AfterValidator(_distinct_steps)] = None
    step: NonNegativeInt | None = None
    factors: dict[str, Any] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _weights_are_somewhere(self) -> Self:
        if self.pretrained is not None:
            return self._checked_pretrained(self.pretrained)
        if self.revisions is not None:
            raise ValueError("revisions is for runs with pretrained")
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

    def _checked_pretrained(self, name: str) -> Self:
        if self.checkpoints is not None:
            raise ValueError(f"expected either checkpoints or pretrained, got both ({name})")
        if self.revisions is not None and self.steps is not None:
            raise ValueError("steps selects from a folder; list only the revisions to capture")
        if self.step is not None and (self.steps is not None or len(self.revisions or "1") > 1):
            raise ValueError("step is for a single model; the number in a revision is its step")
        for option in self.options:
            if option in NOT_OPTIONS:
                raise ValueError(f"options: {option} is set by {NOT_OPTIONS[option]}")
        return self


class CaptureConfig(CheckpointKeys):
    """Training runs of networks from one factory, one probe set and one store.

    The keys of `CheckpointKeys` apply to every run that does not set them.

    Attributes
    ----------
    model
        The factory: ``package.module:function``. For pretrained models, the class that loads them.
    probe
        A ``.npz`` file (see `Probe.load`), or texts for a tokenizer.
    store
        The folder of the store; created if it does not exist. `compare_runs` needs none.
    layers, pool, side, masks, batch_axis, batch_size, check_rows
        As for `capture_activations`.
    rows
        What is a row: see `capture_representations`.
    input_batch_axis
        The axis along which the network expects the examples: ``batch_axis`` of `Probe`.
    device
        PyTorch's name of the device that runs the networks.
    local_files_only
        Load pretrained models, tokenizers and datasets only from folders and the local cache.
    runs
        The training runs: all with ``pretrained``, or none.
    """

    model_config = STRICT | ConfigDict(protected_namespaces=())

    model: str = AUTO_MODEL
    probe: ProbeKeys
    store: Annotated[Path | None, BeforeValidator(path_value)] = None
    layers: Annotated[list[str], BeforeValidator(_in_list)] = Field(min_length=1)
    rows: RowKind = "examples"
    pool: Pool | dict[str, Pool] = "flatten"
    side: ModuleSide = "output"
    masks: str | dict[str, str | None] | None = None
    batch_axis: NonNegativeInt | dict[str, NonNegativeInt] = 0
    input_batch_axis: NonNegativeInt | dict[str, NonNegativeInt] = 0
    batch_size: PositiveInt = 256
    check_rows: bool = True
    device: str = "cpu"
    local_files_only: bool = False
    runs: Annotated[list[CaptureRun], AfterValidator(_distinct_names)] = Field(min_length=1)

    @model_validator(mode="after")
    def _keys_fit_the_runs(self) -> Self:
        pretrained = [run for run in self.runs if run.pretrained is not None]
        if not pretrained:
            if "model" not in self.model_fields_set:
                raise ValueError(
                    "model is missing: expected package.module:function, which builds the network; "
                    "or pretrained in each run"
                )
            if isinstance(self.probe, TextKeys) and self.probe.tokenizer is None:
                raise ValueError(
                    "probe.tokenizer is missing: expected a name or a folder, because no run has "
                    "pretrained"
                )
            return self
        if len(pretrained) < len(self.runs):
            raise ValueError("runs: expected pretrained in each run or in none")
        checked: list[CheckpointKeys] = [self, *pretrained]
        for keys in checked:
            if used := [key for key in _OF_CHECKPOINTS if key in keys.model_fields_set]:
                raise ValueError(f"{used[0]} is for runs with checkpoints, and not for pretrained")
        return self


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
        raise InputError(problems_text(file, lines)) from None
    return _relative_to(config, file)


def _relative_to(config: CaptureConfig, file: Path) -> CaptureConfig:
    here, probe = file.parent, config.probe
    runs = [run.model_copy(update=_run_paths(run, config, file)) for run in config.runs]
    if isinstance(probe, Path):
        probe = here / probe
    else:
        names = {
            key: name_or_folder(f"{file}: probe.{key}", here, name)
            for key in ("dataset", "tokenizer")
            if (name := getattr(probe, key)) is not None
        }
        files = {} if probe.texts is None else {"texts": here / probe.texts}
        probe = probe.model_copy(update={**names, **files})
    store = None if config.store is None else here / config.store
    return config.model_copy(update={"probe": probe, "store": store, "runs": runs})


def _run_paths(run: CaptureRun, config: CaptureConfig, file: Path) -> dict[str, object]:
    paths = run.or_those_of(config)
    if run.checkpoints is not None:
        paths["checkpoints"] = file.parent / run.checkpoints
    if run.pretrained is not None:
        where = f"{file}: runs.{run.name}.pretrained"
        paths["pretrained"] = name_or_folder(where, file.parent, run.pretrained)
    return paths


def _problem(detail: ErrorDetails, document: YamlDocument) -> str:
    loc = tuple(part for part in detail["loc"] if part not in (_FILE, _TEXTS))
    path = _known_part(loc, document.data)
    models: dict[object, type[BaseModel]] = {"runs": CaptureRun, "probe": TextKeys}
    model = models.get(path[0] if path else None, CaptureConfig)
    text = problem_text(
        detail,
        field_text(loc if detail["type"] == "missing" else path),
        describe(detail["input"], document.written.get(path)),
        known=list(model.model_fields),
    )
    return text.removeprefix(": ")  # of a problem of the whole file


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
