"""Run one pair: read both models step by step, compare, write the folder of results."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from fastcka.core import compare, kernel_cka
from fastcka.errors import FilterError, InputError
from fastcka.out_of_memory import named_shortage
from fastcka.pair.folder import require_free, write_folder
from fastcka.pair.results import (
    FILES,
    PairPoint,
    PairResult,
    result_files,
    summary_of,
    undefined_text,
)
from fastcka.pair.sources import CheckpointTree, is_store, opened_model
from fastcka.store import ExampleFilter, prefetch
from fastcka.sweep.planning.examples import ExampleMatcher
from fastcka.sweep.planning.matched import DISPUTED, NOT_EVERYWHERE, OUTSIDE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fastcka.pair.config import PairConfig
    from fastcka.pair.sources import PairModel
    from fastcka.sweep.planning.matched import MatchedExamples

PROGRAM: Final = "fastcka pair"
_OUTPUT: Final = "output_dir"
_NEAREST: Final = 4
ELSEWHERE: Final = "not in the other model"


@dataclass(frozen=True, slots=True)
class PairRun:
    """The result of `run_pair`.

    Attributes
    ----------
    output
        The folder of the results.
    result
        The similarities at each step, with the device and the examples.
    summary
        The content of ``summary.json``.
    seconds
        Time taken.
    """

    output: Path
    result: PairResult
    summary: dict[str, Any]
    seconds: float


def run_pair(
    config: PairConfig,
    *,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> PairRun:
    """Compare the two models of a configuration and write the folder of results.

    Parameters
    ----------
    config
        The configuration, from `load_pair`.
    overwrite
        Replace results in ``output_dir`` once the new ones are complete.
    progress
        Called as ``progress(done, total)`` after each training step, with numbers of steps.

    Returns
    -------
    PairRun
        The results. The folder contains cka_timeline.csv, summary.json, config.yaml and, on
        request, cka_timeline.png.

    Raises
    ------
    InputError
        Results exist already, there is nothing to read, a step is missing or damaged, or the
        models have too few examples in common.
    """
    start = time.perf_counter()
    output = config.output_dir.resolve()
    require_free(output, replace=overwrite, known=FILES, where=_OUTPUT)
    result = compare_pair(config, progress)
    files = result_files(config, result)
    write_folder(output, files, replace=overwrite, known=FILES, where=_OUTPUT)
    return PairRun(output, result, summary_of(config, result), time.perf_counter() - start)


@named_shortage("comparing a pair")
def compare_pair(
    config: PairConfig, progress: Callable[[int, int], None] | None = None
) -> PairResult:
    """Return the similarities of a configuration's pair; nothing is written.

    Raises
    ------
    InputError
        As `run_pair`.
    """
    _require_two(config)
    points: list[PairPoint] = []
    equal = True
    with (
        opened_model(config.exp1, config.layer) as one,
        opened_model(config.exp2, config.layer) as other,
    ):
        steps = chosen_steps(config.checkpoint_steps, one.steps, other.steps)
        steps = steps[-1:] if config.use_final_only else steps
        reader = _Reader(config, one, other)
        with closing(prefetch(steps, reader.read)) as reading:
            for step, rows in reading:
                point, device = _compared(step, rows.x, rows.y, config)
                points.append(point)
                equal = equal and np.array_equal(rows.x, rows.y)
                if progress is not None:
                    progress(len(points), len(steps))
        notes = [f"exp1: {text}" for text in one.left_out]
        notes += [f"exp2: {text}" for text in other.left_out]
    examples = rows.examples
    if examples.positional_ids:
        notes.append("the examples have no ids: rows are matched by position")
    if equal:
        notes.append("exp1 and exp2 hold the same values: one model under two names?")
    if config.use_gpu and device == "cpu":
        notes.append("use_gpu: true, but it was computed on the CPU")
    return PairResult(
        points=points,
        n_examples=examples.n_examples,
        last_steps=(one.steps[-1], other.steps[-1]),
        dropped=(_reasons(examples.rows_dropped[0]), _reasons(examples.rows_dropped[1])),
        device=device,
        program=PROGRAM,
        notes=notes,
    )


def chosen_steps(
    listed: Sequence[int] | None, one: Sequence[int], other: Sequence[int]
) -> list[int]:
    """Return the steps to compare, in increasing order, of those that each of the two has.

    Raises
    ------
    InputError
        If they have none in common, or one lacks a listed step.
    """
    if listed is None:
        common = sorted(set(one).intersection(other))
        if not common:
            raise InputError(
                f"exp1 and exp2 have no step in common: the last of exp1 is {one[-1]}, that of "
                f"exp2 {other[-1]}"
            )
        return common
    for name, steps in (("exp1", one), ("exp2", other)):
        for step in listed:
            if step not in steps:
                nearest = sorted(steps, key=lambda near: (abs(near - step), near))[:_NEAREST]
                raise InputError(
                    f"checkpoint_steps: {name} has no complete step {step}; the nearest of its "
                    f"{len(steps)} are {', '.join(map(str, sorted(nearest)))}"
                )
    return sorted(listed)


class _Rows(NamedTuple):
    """Both models at a step: rows of the same examples, in the same order."""

    x: NDArray[Any]
    y: NDArray[Any]
    examples: MatchedExamples


class _Reader:
    """Reads both models step by step; all steps must have the same examples."""

    def __init__(self, config: PairConfig, one: PairModel, other: PairModel) -> None:
        self._models = (one, other)
        self._matcher = ExampleMatcher(
            None if config.city_filter is None else ExampleFilter.parse(config.city_filter),
            "biased",
        )
        self._ids: frozenset[str] = frozenset()

    def read(self, step: int) -> _Rows:
        self._require_one_id_field(step)
        where = f"the pair at step {step}"
        members = [(model.source, model.source.info(model.key(step))) for model in self._models]
        try:
            examples = self._matcher.match(members, where)
        except FilterError as error:
            raise FilterError(f"city_filter: {error}") from None
        self._require_same_examples(step, examples.rows[0])
        x, y = (
            model.source.read(model.key(step), rows=rows)
            for model, rows in zip(self._models, examples.rows, strict=True)
        )
        return _Rows(x, y, examples)

    def _require_one_id_field(self, step: int) -> None:
        fields = [
            model.source.id_field(model.key(step))
            for model in self._models
            if isinstance(model.source, CheckpointTree)
        ]
        if len(set(fields) - {None}) > 1:
            raise InputError(
                f"step {step}: the examples of exp1 are named by {fields[0]}, those of exp2 by "
                f"{fields[1]}: which are the same cannot be known"
            )

    def _require_same_examples(self, step: int, rows: NDArray[np.int64] | None) -> None:
        first = self._models[0]
        ids = first.source.examples(first.key(step)).ids
        kept = frozenset((ids if rows is None else ids[rows]).tolist())
        changed = sorted(kept ^ (self._ids or kept))
        if changed:
            raise InputError(
                f"step {step}: exp1 and exp2 have other examples in common than at the steps "
                f"before: {len(changed)} are there at one of them only, '{changed[0]}' for one; "
                "all values of a timeline must use the same examples (choose steps by "
                "checkpoint_steps)"
            )
        self._ids = kept


def _compared(
    step: int, x: NDArray[Any], y: NDArray[Any], config: PairConfig
) -> tuple[PairPoint, str]:
    """Return the similarity at a step, and the device that computed it."""
    if config.kernel_type == "rbf":
        kernels = kernel_cka(x, y)
        reasons = undefined_text(kernels.undefined)
        return PairPoint(step, kernels.cka, reasons, kernels.bandwidths), "cpu"
    device = "auto" if config.use_gpu else "cpu"
    linear = compare({"exp1": x, "exp2": y}, estimator="biased", precision="float64", device=device)
    point = PairPoint(step, float(linear.biased[0, 1]), undefined_text(linear.undefined))
    return point, str(linear.provenance["device"])


def _reasons(dropped: Mapping[str, int]) -> dict[str, int]:
    """Return how many rows are left out, for the two reasons that a pair distinguishes."""
    outside = dropped.get(OUTSIDE, 0) + dropped.get(DISPUTED, 0)
    counts = {OUTSIDE: outside, ELSEWHERE: dropped.get(NOT_EVERYWHERE, 0)}
    return {reason: count for reason, count in counts.items() if count}


def _require_two(config: PairConfig) -> None:
    one, other = config.exp1, config.exp2
    if one.name == other.name:
        raise InputError(f"exp1 and exp2 are both named {one.name!r}; expected two models")
    folders = [side.repr_dir.resolve() for side in (one, other)]
    if folders[0] == folders[1] and not is_store(folders[0]):
        raise InputError(f"exp1 and exp2 are the same representations: {folders[0]}")
