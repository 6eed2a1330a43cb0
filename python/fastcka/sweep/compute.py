"""Compute groups: read ahead, one pass each, committed at once; one that fails stops no other."""

from __future__ import annotations

import time
from collections import deque
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastcka.core import Comparison, Group, StagedRepresentation, compare_each
from fastcka.errors import InputError, StoreError
from fastcka.store import Store, prefetch
from fastcka.sweep.ledger import GroupValues, Ledger
from fastcka.sweep.plan import GROUPS_IN_MEMORY, SweepPlan
from fastcka.sweep.result import SweepEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np

    from fastcka.sweep.group import GroupPlan

Loaded = list["StagedRepresentation | np.ndarray[Any, Any]"]


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why one group has no values. Not the error itself, whose frames hold on to arrays.

    What is wrong with a device, a ledger or a disk is every group's, and no such failure.
    """

    reason: str


@dataclass(slots=True)
class Computed:
    """What became of the groups.

    Attributes
    ----------
    seconds
        Position in the plan -> seconds, of those that are in the ledger now.
    failed
        Position in the plan -> why, of the others.
    reading
        Seconds of waiting for a group to be read (a GPU computes the one before meanwhile).
    computing
        All other seconds until the groups had their values.
    """

    seconds: dict[int, float] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    reading: float = 0.0
    computing: float = 0.0


def compute_groups(
    groups: Sequence[GroupPlan],
    plan: SweepPlan,
    store: Store,
    ledger: Ledger,
    *,
    threads: int | None,
    progress: Callable[[int, int], None] | None,
    tell: Callable[[SweepEvent], None],
) -> Computed:
    """Compute ``groups`` and commit each; see `run_sweep`."""
    computed = Computed()
    course = _Course(sum(_units(group) for group in groups), progress)

    def fail(group: GroupPlan, reason: str) -> None:
        computed.failed[group.position] = reason
        tell(SweepEvent("failed", f"group '{group.name}': {reason}", group.name))

    begun: deque[GroupPlan] = deque()  # a GPU computes one while the next is copied to it

    def arriving() -> Iterator[Group]:
        while True:
            waiting = time.perf_counter()
            read = next(loading, None)
            computed.reading += time.perf_counter() - waiting
            if read is None:
                return
            group, arrays = read
            del read
            course.begin(group)
            if isinstance(arrays, _Failure):
                fail(group, arrays.reason)
                continue
            begun.append(group)
            yield Group(arrays, labels=[r.labels for r in group.representations])
            del arrays  # of no use any more, and the next group needs the room

    ahead = GROUPS_IN_MEMORY - 1
    with closing(prefetch(groups, lambda group: _load(group, store), ahead=ahead)) as loading:
        config = plan.config
        clock = time.perf_counter()
        for outcome in compare_each(
            arriving(),
            estimator=config.estimator,
            device=config.device,
            precision=config.precision,
            threads=threads,
            progress=course.report,
        ):
            computed.computing += time.perf_counter() - clock
            group = begun.popleft()
            if isinstance(outcome, InputError):
                fail(group, str(outcome))
            else:
                ledger.commit(group, config.precision, _values(outcome))
                for at, reason in outcome.undefined.items():
                    message = f"{group.representations[at].key}: {reason}"
                    tell(SweepEvent("undefined", message, group.name))
                tell(SweepEvent("computed", f"'{group.name}' is computed", group.name))
                computed.seconds[group.position] = time.perf_counter() - clock
            clock = time.perf_counter()
    computed.computing += time.perf_counter() - clock - computed.reading
    course.end()
    return computed


class _Course:
    """How far all groups together have come, in units of arithmetic."""

    def __init__(self, total: int, progress: Callable[[int, int], None] | None) -> None:
        self._total = total
        self._progress = progress
        self._before = 0
        self._units = 0

    def begin(self, group: GroupPlan) -> None:
        self._before += self._units
        self._units = _units(group)
        self.report(0, 1)

    def report(self, done: int, of: int) -> None:
        if self._progress is not None:
            self._progress(self._before + self._units * done // max(of, 1), self._total)

    def end(self) -> None:
        if self._units:
            self.report(1, 1)


def _load(group: GroupPlan, store: Store) -> Loaded | _Failure:
    """Read a group's data, and make sure that it is what was planned."""
    arrays: Loaded = []
    try:
        for planned, rows in zip(group.representations, group.examples.rows, strict=True):
            if planned.staged:
                staged = StagedRepresentation.empty(group.n_examples, planned.n_features)
                store.read(planned.key, out=staged.array, rows=rows)
                arrays.append(staged)
            else:
                arrays.append(store.read(planned.key, rows=rows))
            # After the reading: what was read is then no newer than what was planned.
            info = store.info(planned.key)
            if (info.digest, info.examples_digest) != (planned.digest, planned.examples_digest):
                return _Failure(
                    f"the store has changed since the plan was made ({planned.key}); run again"
                )
    except (StoreError, InputError) as error:  # InputError: another shape than was planned
        return _Failure(str(error))
    return arrays


def _values(comparison: Comparison) -> GroupValues:
    return GroupValues(
        cka_biased=comparison.biased,
        cka_unbiased=comparison.unbiased,
        hsic_biased=comparison.hsic_biased,
        hsic_unbiased=comparison.hsic_unbiased,
        provenance=dict(comparison.provenance),
    )


def _units(group: GroupPlan) -> int:
    return max(int(group.pass_plan.flops), 1)
