"""What a worker of a cluster does: read the data of a task from the store, and compute it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastcka.core import Flight as GroupFlight
from fastcka.core import Group, compare_many, plan_pass
from fastcka.core.backend import version
from fastcka.core.inference.folds import make_folds
from fastcka.core.part import compare_part
from fastcka.errors import InputError, StoreError
from fastcka.processors import usable_processors
from fastcka.store import Store, open_store
from fastcka.sweep.ledger.values import VALUES_VERSION, GroupValues
from fastcka.sweep.running.buffers import Buffers
from fastcka.sweep.running.compute import undefined_texts, values_of
from fastcka.sweep.running.loading import Failure, load_group

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fastcka.core import Comparison, PassPlan
    from fastcka.core.base_plan import Precision
    from fastcka.core.estimators import Estimator
    from fastcka.core.inference.options import Inference
    from fastcka.core.measures.measure import Measure
    from fastcka.sweep.planning.group import GroupPlan, Representation
    from fastcka.sweep.planning.matched import MatchedExamples

VERSION = (version, VALUES_VERSION)
"""Workers of another version could compute other values."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How every task of a run is computed.

    `gpus` are values of CUDA_VISIBLE_DEVICES for local workers, by their number; empty if they
    compute on the CPU, or if others have started the workers.
    """

    store: Path
    estimator: Estimator
    device: str
    precision: Precision
    threads: int
    inference: Inference | None
    measures: tuple[Measure, ...]
    gpus: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GroupWork:
    """What a worker must know about a group, or about some of its representations."""

    representations: tuple[Representation, ...]
    examples: MatchedExamples
    blocks: NDArray[np.int64] | None
    memory: int | None

    @property
    def n_examples(self) -> int:
        """Number of examples in the pass."""
        return self.examples.n_examples

    @classmethod
    def of(cls, group: GroupPlan, members: Sequence[int] | None = None) -> GroupWork:
        """Return the work of a group, or of the representations at some positions."""
        if members is None:
            examples = replace(group.examples, rows_dropped=())
            return cls(group.representations, examples, group.blocks, group.memory)
        rows = tuple(group.examples.rows[member] for member in members)
        return cls(
            tuple(group.representations[member] for member in members),
            replace(group.examples, rows=rows, rows_dropped=()),
            group.blocks,
            group.memory,
        )


@dataclass(frozen=True, slots=True)
class Whole:
    """The group of a part: what its plan depends on, and the positions of the part in it."""

    n_features: tuple[int, ...]
    dtypes: tuple[str, ...]
    staged: bool
    members: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Valued:
    """The values of a group or part, and why representations have no similarity."""

    values: GroupValues
    undefined: tuple[str, ...]


Outcome = Valued | Failure | None
"""None: only the whole group of this part gives values."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a task gives: an outcome for each group, and the seconds of reading and computing."""

    outcomes: tuple[Outcome, ...]
    reading: float
    computing: float
    version: tuple[str, int]


@dataclass(frozen=True, slots=True)
class Described:
    """A worker: its version, its processors, and whether it can see the store."""

    version: tuple[str, int]
    machine: str
    processors: int
    sees_store: bool


def describe(store: Path) -> Described:
    """Describe the worker that calls this."""
    return Described(VERSION, os.uname().nodename, usable_processors()[0], store.is_dir())


def compute_flight(settings: Settings, flight: Sequence[GroupWork]) -> Done:
    """Read groups and compute them together."""
    _take_gpu(settings.gpus)
    clock = time.perf_counter()
    store = _opened(settings.store)
    buffers = Buffers()
    loaded = [load_group(group, store, buffers) for group in flight]
    reading = time.perf_counter() - clock
    groups = [
        Group(
            arrays,
            [r.labels for r in group.representations],
            memory=group.memory,
            blocks=group.blocks,
        )
        for group, arrays in zip(flight, loaded, strict=True)
        if not isinstance(arrays, Failure)
    ]
    failures = [each if isinstance(each, Failure) else None for each in loaded]
    del loaded
    flights = iter([GroupFlight(groups)])
    del groups  # the pass overwrites the arrays, and lets them go
    (compared,) = compare_many(
        flights,
        estimator=settings.estimator,
        device=settings.device,
        precision=settings.precision,
        threads=settings.threads,
        inference=settings.inference or False,
        measures=settings.measures,
    )
    each = iter(compared)
    outcomes = tuple(
        _outcome(group, next(each)) if failure is None else failure
        for group, failure in zip(flight, failures, strict=True)
    )
    return Done(outcomes, reading, time.perf_counter() - clock - reading, VERSION)


def compute_part(settings: Settings, part: GroupWork, whole: Whole) -> Done:
    """Read some representations of a group and compute them, on the CPU."""
    clock = time.perf_counter()
    loaded = load_group(part, _opened(settings.store), Buffers())
    reading = time.perf_counter() - clock
    outcome: Outcome = None
    if not isinstance(loaded, Failure):
        comparison = compare_part(
            loaded,
            _whole_plan(settings, part, whole),
            whole.members,
            labels=[r.labels for r in part.representations],
            estimator=settings.estimator,
            inference=settings.inference or False,
            blocks=part.blocks,
        )
        if comparison is not None:
            outcome = _outcome(part, comparison)
    return Done((outcome,), reading, time.perf_counter() - clock - reading, VERSION)


def _whole_plan(settings: Settings, part: GroupWork, whole: Whole) -> PassPlan:
    inference = settings.inference
    if inference is not None and part.blocks is not None:
        folds = make_folds(part.n_examples, folds=inference.folds, blocks=part.blocks)
        if folds is not None:
            inference = replace(inference, folds=folds.count, blocks=None)
    return plan_pass(
        part.n_examples,
        whole.n_features,
        dtype=whole.dtypes,
        precision=settings.precision,
        threads=settings.threads,
        staged=whole.staged,
        device="cpu",
        inference=inference or False,
    )


def _outcome(group: GroupWork, outcome: Comparison | InputError | StoreError) -> Outcome:
    if isinstance(outcome, InputError | StoreError):
        return Failure(str(outcome))
    return Valued(values_of(outcome), tuple(undefined_texts(group, outcome)))


@lru_cache(maxsize=1)
def _opened(path: Path) -> Store:
    """Return the store; it holds no file open, and its headers are checked at every use."""
    return open_store(path)


def _take_gpu(gpus: Sequence[str]) -> None:
    """Let this worker see one GPU only; this must happen before CUDA starts."""
    if gpus:
        from distributed import get_worker

        name: Any = get_worker().name  # the number of a local worker
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[int(name) % len(gpus)]
