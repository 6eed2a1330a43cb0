"""The types of an analysis, as in ``<experiment>_analysis.json``; `analysis` describes the fields.

Undefined numbers are NaN until the file is written, and None after it is read.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

Run = Literal["main", "other"]
MAIN: Run = "main"
OTHER: Run = "other"
Name = tuple[Run, int]
"""A checkpoint: the run that you analyse, or the run of another seed; and the step."""


class Difference(TypedDict):
    """A difference of two similarities with its interval."""

    difference: float | None
    interval: list[float] | None
    answer: str
    why_undefined: NotRequired[str]


class TimeMatched(TypedDict):
    """The control for time: how much changed after early, and before late."""

    available: bool
    why: NotRequired[str]
    early_window: NotRequired[list[int]]
    late_window: NotRequired[list[int]]
    early_similarity: NotRequired[float | None]
    late_similarity: NotRequired[float | None]
    difference: NotRequired[float | None]
    interval: NotRequired[list[float] | None]
    answer: NotRequired[str]
    why_undefined: NotRequired[str]


class StepZero(TypedDict):
    """Early compared with the untrained network."""

    available: bool
    why: NotRequired[str]
    step_0_vs_early: NotRequired[float | None]
    step_0_vs_late: NotRequired[float | None]
    difference: NotRequired[float | None]
    interval: NotRequired[list[float] | None]
    answer: NotRequired[str]
    why_undefined: NotRequired[str]


class OtherSeed(TypedDict):
    """The run compared with the run of another seed."""

    available: bool
    why: NotRequired[str]
    early_vs_other_early: NotRequired[float | None]
    late_vs_other_late: NotRequired[float | None]
    difference: NotRequired[float | None]
    interval: NotRequired[list[float] | None]
    answer: NotRequired[str]
    why_undefined: NotRequired[str]
    question: NotRequired[Difference]
    time_matched: NotRequired[TimeMatched]


class Permuted(TypedDict):
    """The similarity by chance: with permuted examples, or with permuted entries of a tensor."""

    available: bool
    why: NotRequired[str]
    what: NotRequired[str]
    mean: NotRequired[float | None]
    sd: NotRequired[float | None]
    permutations: NotRequired[int]
    p: NotRequired[float]


class Baselines(TypedDict):
    """The four baselines of a verdict."""

    time_matched: TimeMatched
    step_0: StepZero
    other_seed: OtherSeed
    permuted: Permuted


class Verdict(TypedDict):
    """The answer for one layer or tensor and one phase between the first and the last."""

    phases: list[str]
    steps: list[int]
    measure: str
    similarity: dict[str, float | None]
    question: Difference
    interval: str
    baselines: Baselines
    conclusion: str
    words: str


class Tensor(TypedDict):
    """The changes of one tensor of weights."""

    shape: list[int]
    similarity: dict[str, float | None]
    relative_change: dict[str, float | None]
    filters: NotRequired[dict[str, list[float | None]]]
    diversity: NotRequired[dict[str, dict[str, Any]]]
    verdict: NotRequired[list[Verdict]]


class Layer(TypedDict):
    """The activations of one layer."""

    n_examples: int
    n_features: int
    cka: dict[str, float | None]
    cka_biased: dict[str, float | None]
    steps: list[int]
    cka_by_step: list[list[float | None]]
    cka_biased_by_step: list[list[float | None]]
    sparsity: dict[str, dict[str, float]]
    undefined: dict[str, str]
    verdict: NotRequired[list[Verdict]]


class MissingStep(TypedDict):
    """A checkpoint that is missing or cannot be used."""

    step: int
    phase: str | None
    run: Run
    reason: str


class Analysis(TypedDict):
    """One experiment."""

    format: NotRequired[str]
    schema_version: NotRequired[int]
    fastcka: str
    experiment: str
    complete: bool
    missing: list[MissingStep]
    steps: list[int]
    phases: dict[str, int]
    sources: dict[str, Any]
    settings: dict[str, Any]
    weights: dict[str, Tensor]
    weights_left_out: dict[str, str]
    activations: dict[str, Layer]
    attention: dict[str, dict[str, Any]]
    notes: list[str]
