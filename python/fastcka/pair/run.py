"""Run one pair: read both sides step by step, compare, write the folder of results."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fastcka.errors import InputError
from fastcka.out_of_memory import named_shortage
from fastcka.pair.align import Alignment, align
from fastcka.pair.folder import require_free, write_folder
from fastcka.pair.results import FILES, PairPoint, PairResult, result_files, summary_of
from fastcka.pair.sides import Side, SideStep, is_store, opened_side
from fastcka.pair.similarity import Similarity, similarity
from fastcka.store import ExampleFilter, prefetch
from fastcka.store.importing.example_table import POSITION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fastcka.pair.config import PairConfig
    from fastcka.store import Examples

PROGRAM: Final = "fastcka pair"
_OUTPUT: Final = "output_dir"
_NEAREST: Final = 4


@dataclass(frozen=True, slots=True)
class PairRun:
    """What a run of a pair did.

    Attributes
    ----------
    output
        The folder of the results.
    result
        The similarities, and what is known of them.
    summary
        What stands in ``summary.json``.
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
        The pair.
    overwrite
        Replace results that stand in ``output_dir``, once the new ones are complete.
    progress
        Called with the steps done and the steps in all.

    Raises
    ------
    InputError
        Results are there already, there is nothing to read, a step is missing or damaged, or the
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
    device = "auto" if config.use_gpu else "cpu"
    points: list[PairPoint] = []
    found: list[Similarity] = []
    equal = True
    with (
        opened_side(config.exp1, config.layer) as one,
        opened_side(config.exp2, config.layer) as other,
    ):
        steps = chosen_steps(config.checkpoint_steps, one.steps, other.steps)
        steps = steps[-1:] if config.use_final_only else steps
        for step in _read(config, steps, one, other):
            own = similarity(step.x, step.y, kernel=config.kernel_type, device=device)
            found.append(own)
            points.append(PairPoint(step.step, own.cka, own.undefined))
            equal = equal and np.array_equal(step.x, step.y)
            if progress is not None:
                progress(len(points), len(steps))
        notes = [f"exp1: {text}" for text in one.left_out]
        notes += [f"exp2: {text}" for text in other.left_out]
    if step.by_position:
        notes.append("the examples have no ids: rows are matched by position")
    if equal:
        notes.append("exp1 and exp2 hold the same values: one model under two names?")
    if config.use_gpu and found[0].device == "cpu":
        notes.append("use_gpu: true, but it was computed on the CPU")
    return PairResult(
        points=points,
        n_examples=len(step.alignment.ids),
        last_steps=(one.steps[-1], other.steps[-1]),
        dropped=step.alignment.dropped,
        device=found[0].device,
        program=PROGRAM,
        bandwidths={
            point.step: own.bandwidths
            for point, own in zip(points, found, strict=True)
            if own.bandwidths is not None
        },
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
                near = sorted(steps, key=lambda own: (abs(own - step), own))[:_NEAREST]
                raise InputError(
                    f"checkpoint_steps: {name} has no complete step {step}; the nearest of its "
                    f"{len(steps)} are {', '.join(map(str, sorted(near)))}"
                )
    return sorted(listed)


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """Both sides at a step: rows of the same examples, in the same order."""

    step: int
    x: NDArray[Any]
    y: NDArray[Any]
    alignment: Alignment
    by_position: bool


def _read(config: PairConfig, steps: Sequence[int], one: Side, other: Side) -> Iterator[_Step]:
    """Read and align step after step, one ahead; each must be of the same examples."""
    examples = None if config.city_filter is None else ExampleFilter.parse(config.city_filter)
    before: tuple[Examples, Examples, Alignment] | None = None
    with closing(prefetch(steps, partial(_load, one, other))) as reading:
        for step, (first, second) in reading:
            fields = {first.id_field, second.id_field} - {None, POSITION}
            if len(fields) > 1:
                raise InputError(
                    f"step {step}: the examples of exp1 are named by {first.id_field}, those of "
                    f"exp2 by {second.id_field}: which are the same cannot be known"
                )
            both = first.examples, second.examples
            if before is None or before[0] is not both[0] or before[1] is not both[1]:
                alignment = align(*both, examples)
                if before is not None and set(alignment.ids) != set(before[2].ids):
                    changed = sorted(set(alignment.ids) ^ set(before[2].ids))
                    raise InputError(
                        f"step {step}: the examples that exp1 and exp2 have in common are not "
                        f"those of the steps before: {len(changed)} are there at one of them only, "
                        f"'{changed[0]}' for one; the values of one timeline must be of the same "
                        "examples (choose steps by checkpoint_steps)"
                    )
                before = *both, alignment
            alignment = before[2]
            yield _Step(
                step,
                first.values[alignment.first],
                second.values[alignment.second],
                alignment,
                by_position=first.examples.positional_ids,
            )


def _load(one: Side, other: Side, step: int) -> tuple[SideStep, SideStep]:
    return one.read(step), other.read(step)


def _require_two(config: PairConfig) -> None:
    one, other = config.exp1, config.exp2
    if one.name == other.name:
        raise InputError(f"exp1 and exp2 are both called {one.name!r}; expected two models")
    folders = [side.repr_dir.resolve() for side in (one, other)]
    if folders[0] == folders[1] and not is_store(folders[0]):
        raise InputError(f"exp1 and exp2 are the same representations: {folders[0]}")
