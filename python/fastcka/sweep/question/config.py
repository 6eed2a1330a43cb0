"""The fields of ``sweep.yaml``, with strict types."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
)

from fastcka.config_problems import path_value, problem_text, problems_text
from fastcka.core import checked_device
from fastcka.core.base_plan import Precision
from fastcka.core.estimators import Estimator
from fastcka.core.inference.options import Inference
from fastcka.core.measures.measure import Measure, without_cka
from fastcka.errors import InputError, SweepConfigError, SweepError
from fastcka.store import ExampleFilter
from fastcka.sweep.question.computation import Computation, measures_text
from fastcka.sweep.question.inference import parse_field
from fastcka.sweep.question.measures import parse_measures_field
from fastcka.sweep.question.sample import Sample, SampledExamples, parse_examples
from fastcka.sweep.question.steps import StepsPolicy, parse_steps
from fastcka.yaml_file import FieldPath, describe, field_text, read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic_core import ErrorDetails

Scalar = str | int | float | bool


def _scalar(value: object) -> Scalar:
    if isinstance(value, str | int) or (isinstance(value, float) and abs(value) < float("inf")):
        return value
    raise ValueError("expected a text, a finite number or a boolean")


def _allowed_values(value: object) -> object:
    """Take one value as a list of one; refuse an empty list, which would select nothing."""
    if isinstance(value, str | int | float):
        return [value]
    if isinstance(value, list | tuple) and value:
        return list(value)
    raise ValueError("expected one value or a list of values")


def _fields(value: object) -> object:
    if isinstance(value, str):
        value = (value,)
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        raise ValueError("expected field names (model, step, layer or a factor)")
    if len(set(value)) != len(value):
        raise ValueError("expected each field once")
    return tuple(value)


def _device(value: object) -> object:
    try:
        return checked_device(value)  # type: ignore[arg-type]
    except InputError:
        raise ValueError("expected 'auto', 'cpu', 'cuda', 'cuda:<number>' or 'cuda:all'") from None


Fields = Annotated[tuple[str, ...], BeforeValidator(_fields)]
AllowedValues = Annotated[
    list[Annotated[Scalar, BeforeValidator(_scalar)]], BeforeValidator(_allowed_values)
]


ByField = dict[str, AllowedValues]


class CompareConfig(BaseModel):
    """Which representations are compared, and at which steps.

    Representations that agree on every `within` field form a group. Within a group, each unordered
    pair that every rule allows is compared. See :mod:`fastcka.sweep.question.rules`.

    Attributes
    ----------
    within
        Fields that are equal within a group. Groups are not compared with each other.
    differ, same
        Fields that must all differ, or all be equal, within a pair.
    disjoint, overlapping
        Fields with lists that share no member, or at least one, within a pair. A single value
        counts as a list of one.
    ascending
        Fields that must all be larger on the same side of a pair, for example a later variant and
        a later seed. With two or more fields this leaves out comparisons; the plan counts them.
    order
        Field of `ascending` -> its values, lowest first; extra values are allowed. Numbers, and
        texts that end in numbers (``v2`` before ``v10``), need no order.
    left, right
        Field -> allowed values, as in `select`. One side of a pair must fit `left`, the other
        `right`. Give both or neither; ``{}`` allows everything.
    steps
        Which steps take part: ``"all"``, ``"final_each"``, ``"final_common"``,
        ``"all_common"``, the steps themselves, ``{nearest: {step, tolerance}}`` or
        ``{fraction: ...}``. See :mod:`fastcka.sweep.question.steps`.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    within: Fields = ()
    differ: Fields = ()
    same: Fields = ()
    disjoint: Fields = ()
    overlapping: Fields = ()
    ascending: Fields = ()
    order: ByField = Field(default_factory=dict)
    left: ByField | None = None
    right: ByField | None = None
    steps: Annotated[StepsPolicy, BeforeValidator(parse_steps)] = "all"


class SweepConfig(BaseModel):
    """A sweep: a store, what to select from it, what to compare, and where the results go.

    Attributes
    ----------
    store
        The folder of the representation store.
    output
        The folder of the results; created if it does not exist.
    select
        Field (model, step, layer or a factor) -> its allowed values. A representation takes part
        if every listed field has an allowed value, or is a list that contains one.
    exclude
        The same form. A representation that fits every listed field is left out.
    examples
        An `ExampleFilter` as text, or a mapping with ``filter``, ``sample`` (the number of examples
        in each group) and ``seed``; None for all examples.
    compare
        Which pairs: see :class:`CompareConfig`.
    estimator
        The estimator of the column ``cka``; the results always contain both.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:<number>"`` or ``"cuda:all"``, which spreads the
        groups over all GPUs of the machine; or a `torch.device`.
    precision
        ``"high"`` (error <= 1e-6), ``"fast"`` (fp16 on a GPU, bfloat16 on a CPU that has it) or
        ``"float64"``.
    inference
        ``true``, or a mapping with ``alternative``, ``level``, ``folds`` or ``blocks`` (the name of
        an example column; see `fastcka.Inference`): the results also contain p-values, q-values
        over all comparisons, calibrated similarities, and standard errors and intervals over
        examples. They are computed on the CPU.
    measures
        Names of measures, `fastcka.Measure`, or mappings with ``name`` and options, as the argument
        of `fastcka.compare`. CKA is always computed; the others on the CPU, without row blocks.
    export
        ``"pairs"`` also writes a folder for each pair; None writes the table only.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    store: Annotated[Path, BeforeValidator(path_value)]
    output: Annotated[Path, BeforeValidator(path_value)]
    select: ByField = Field(default_factory=dict)
    exclude: ByField = Field(default_factory=dict)
    examples: Annotated[str | SampledExamples, BeforeValidator(parse_examples)] | None = None
    compare: CompareConfig
    estimator: Estimator = "unbiased"
    device: Annotated[str, BeforeValidator(_device)] = "auto"
    precision: Precision = "high"
    inference: Annotated[Inference | None, BeforeValidator(parse_field)] = None
    measures: Annotated[tuple[Measure, ...], BeforeValidator(parse_measures_field)] = (
        Measure("cka"),
    )
    export: Literal["pairs"] | None = None

    _written: dict[FieldPath, str] = PrivateAttr(default_factory=dict)
    _file: Path | None = PrivateAttr(default=None)

    @property
    def computation(self) -> Computation:
        """What the values of a group depend on, in addition to its data."""
        asked, inferred = self.inference, ""
        if asked is not None:
            of_blocks = "" if asked.blocks is None else f" of {asked.blocks}"
            inferred = f"{asked.folds} folds{of_blocks}"
        return Computation(self.precision, inferred, measures_text(self.further_measures))

    @property
    def further_measures(self) -> tuple[Measure, ...]:
        """The measures besides CKA, in the order of their columns."""
        return without_cka(self.measures)

    @property
    def wanted(self) -> dict[FieldPath, ByField | None]:
        """The mappings from fields to allowed values: select, exclude, left and right."""
        return {
            ("select",): self.select,
            ("exclude",): self.exclude,
            ("compare", "left"): self.compare.left,
            ("compare", "right"): self.compare.right,
        }

    @property
    def example_filter(self) -> ExampleFilter | None:
        """The filter of `examples`."""
        examples = self.examples
        text = examples.filter if isinstance(examples, SampledExamples) else examples
        return None if text is None else ExampleFilter.parse(text)

    @property
    def sample(self) -> Sample | None:
        """The sample of `examples`."""
        examples = self.examples
        if not isinstance(examples, SampledExamples):
            return None
        return Sample(examples.sample, examples.seed)

    @property
    def descriptions(self) -> dict[FieldPath, str]:
        """Each value of `wanted` for a message, as the file has it."""
        return {
            path: describe(value, _as_written(self._written, path))
            for where, fields in self.wanted.items()
            for field, values in (fields or {}).items()
            for path, value in (((*where, field, i), value) for i, value in enumerate(values))
        }


def load_sweep(path: str | os.PathLike[str]) -> SweepConfig:
    """Read a sweep from a YAML file; relative paths in it are relative to the file's folder.

    Raises
    ------
    SweepConfigError
        The file cannot be read, is not plain YAML, or a field is unknown, missing or wrong. The
        message names the file and each field, the given value, and what is allowed.
    """
    file = Path(path)
    document = read_yaml(file, error=SweepConfigError)
    try:
        config = SweepConfig.model_validate(document.data)
    except ValidationError as error:
        lines = [_problem(detail, document.written) for detail in error.errors(include_url=False)]
        raise SweepConfigError(problems_text(file, lines)) from None
    folder = file.resolve().parent
    config = config.model_copy(
        update={
            "store": (folder / config.store).resolve(),
            "output": (folder / config.output).resolve(),
        }
    )
    config._written = document.written
    config._file = file
    return config


@contextmanager
def naming_file(config: SweepConfig) -> Iterator[None]:
    """Let the errors of a sweep in the block begin with the file of its configuration, if any."""
    try:
        yield
    except SweepError as error:
        if config._file is None or type(error) not in (SweepError, SweepConfigError):
            raise
        raise type(error)(f"{config._file}: {error}") from error.__cause__


def _as_written(written: Mapping[FieldPath, str], path: FieldPath) -> str | None:
    # A single value is at select.seed in the file, and at select.seed[0] in the model.
    if path in written:
        return written[path]
    return written.get(path[:-1]) if path and path[-1] == 0 else None


def _problem(detail: ErrorDetails, written: Mapping[FieldPath, str]) -> str:
    path: FieldPath = detail["loc"]
    where = field_text(path)
    model: type[BaseModel] = CompareConfig if path[:-1] == ("compare",) else SweepConfig
    return problem_text(
        detail,
        where,
        describe(detail["input"], _as_written(written, path)),
        known=list(model.model_fields),
        noun="field",
        missing=_MEANINGS.get(where, "it is required"),
    )


_MEANINGS = {
    "store": "expected the folder of the representation store",
    "output": "expected the folder for the results",
    "compare": "expected a mapping with within, differ, steps or other rules",
}
