"""The configuration of a pair: the keys of its YAML file, with strict types."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from fastcka.config_problems import path_value, problem_text, problems_text
from fastcka.errors import FilterError, PairConfigError
from fastcka.store import ExampleFilter
from fastcka.yaml_file import describe, field_text, read_yaml, yaml_text

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from fastcka.yaml_file import YamlDocument


def _layer(value: object) -> object:
    if (isinstance(value, int) and not isinstance(value, bool) and value >= 0) or (
        isinstance(value, str) and value
    ):
        return value
    raise ValueError("expected the number of a layer, or its name in a store")


def _steps(value: object) -> object:
    if value is None:
        return None
    if isinstance(value, list | tuple) and value:
        whole = [step for step in value if isinstance(step, int) and not isinstance(step, bool)]
        if len(whole) == len(value) == len(set(whole)) and min(whole) >= 0:
            return tuple(sorted(whole))
    raise ValueError("expected null (every step that both have) or a list of distinct steps >= 0")


def _filter(value: object) -> object:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError("expected null or field:pattern terms joined by '&&'")
    try:
        ExampleFilter.parse(value)
    except FilterError as error:
        raise ValueError(str(error)) from None
    return value


def _centered(value: object) -> object:
    if value is True:
        return value
    raise ValueError("expected true: the kernels of CKA are centred")


SavedPath = Annotated[Path, BeforeValidator(path_value)]


class PairSide(BaseModel):
    """One of the two models.

    Attributes
    ----------
    name
        Its name in the results; in a store, the model's name.
    repr_dir
        The folder that contains its ``checkpoint-<step>``, or a store.
    task
        The model's training task; it changes nothing.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: str = Field(min_length=1)
    repr_dir: SavedPath
    task: str | None = None


class PairConfig(BaseModel):
    """Two models and a layer, with the steps and examples that are compared.

    Relative paths are relative to the working directory, as for the scripts that use this format.

    Attributes
    ----------
    exp1, exp2
        The models.
    layer
        The number of the layer; in a store, its name.
    checkpoint_steps
        The steps, which both must have; None for every step that both have.
    use_final_only
        Take only the last of these.
    city_filter
        Which examples: see `fastcka.store.filters`; None for all.
    kernel_type
        ``"linear"``, or ``"rbf"`` with the median distance as its bandwidth.
    center_kernels
        Always true.
    use_gpu
        Whether a GPU may be used. If none can be, the results say that the CPU was used.
    save_timeline_plot
        Whether to draw ``cka_timeline.png``.
    output_dir
        The folder of the results.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    exp1: PairSide
    exp2: PairSide
    layer: Annotated[int | str, BeforeValidator(_layer)]
    checkpoint_steps: Annotated[tuple[int, ...] | None, BeforeValidator(_steps)] = None
    use_final_only: bool = False
    city_filter: Annotated[str | None, BeforeValidator(_filter)] = None
    kernel_type: Literal["linear", "rbf"] = "linear"
    center_kernels: Annotated[bool, BeforeValidator(_centered)] = True
    use_gpu: bool = False
    save_timeline_plot: bool = False
    output_dir: SavedPath

    def to_yaml(self) -> str:
        """Return the configuration as YAML, every key written out."""
        data: dict[str, Any] = self.model_dump(mode="json")
        for side in (data["exp1"], data["exp2"]):
            if side["task"] is None:
                del side["task"]
        return yaml_text(data)


def load_pair(path: str | os.PathLike[str]) -> PairConfig:
    """Read the configuration of a pair.

    Raises
    ------
    PairConfigError
        The file cannot be read, is not plain YAML, or a key is unknown, missing or wrong. The
        message names the file and each key, what was expected, and the given value.
    """
    file = Path(path)
    document = read_yaml(file, error=PairConfigError)
    try:
        return PairConfig.model_validate(document.data)
    except ValidationError as error:
        lines = [_problem(detail, document) for detail in error.errors(include_url=False)]
        raise PairConfigError(problems_text(file, lines)) from None


def _problem(detail: ErrorDetails, document: YamlDocument) -> str:
    path = detail["loc"]
    model = PairConfig if len(path) == 1 else PairSide
    return problem_text(
        detail,
        field_text(path),
        describe(detail["input"], document.written.get(path)),
        known=list(model.model_fields),
        mapping="a mapping with name, repr_dir and task",
    )
