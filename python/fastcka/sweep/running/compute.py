"""Compute groups in flights: one flight is computed while the next is read.

    reading    | flight 2       | flight 3       | ...
    computing  | flight 1       | flight 2       | ...
    the ledger                  | flight 1       | flight 2 ...

A group that fails does not stop the others.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastcka.core import Comparison, Group, compare_many
from fastcka.core import Flight as GroupFlight
from fastcka.core.columns import STORED
from fastcka.core.measures.compute import undefined_members
from fastcka.errors import InputError, StoreError
from fastcka.memory import memory_check
from fastcka.store import Store, prefetch
from fastcka.sweep.ledger.values import GroupValues
from fastcka.sweep.ledger.writer import LedgerWriter
from fastcka.sweep.planning.flights import FLIGHTS_IN_MEMORY, Flight, flights_of
from fastcka.sweep.planning.memory import memory_of
from fastcka.sweep.planning.plan import SweepPlan
from fastcka.sweep.results.result import SweepEvent
from fastcka.sweep.running.buffers import Buffers
from fastcka.sweep.running.loading import Failure, Loadable, Loaded, load_group

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from fastcka.sweep.planning.group import GroupPlan


@dataclass(slots=True)
class Computed:
    """The outcome of the groups.

    Attributes
    ----------
    seconds
        Position in the plan -> seconds, for the groups that are now in the ledger. The time of a
        flight runs from the end of the flight before it to its end. Groups of one flight share it
        in proportion to their passes, so that all times add up to the time of the run.
    failed
        Position in the plan -> reason, for the groups that failed.
    reading
        Seconds of waiting for a flight to be read (a GPU may compute meanwhile).
    computing
        All other seconds until the last group was computed. On a cluster, both are sums over the
        workers.
    """

    seconds: dict[int, float] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    reading: float = 0.0
    computing: float = 0.0


def compute_here(
    store: Store,
    groups: Sequence[GroupPlan],
    plan: SweepPlan,
    ledger: Path,
    *,
    progress: Callable[[int, int], None] | None,
    tell: Callable[[SweepEvent], None],
) -> Computed:
    """Compute ``groups`` and commit each to the ledger at that path; see `run_sweep`."""
    needed = memory_of(groups, plan.threads, plan.config.device)
    if needed is not None:
        needed.require(plan.memory)
    with memory_check(False):  # for each group, because every group has been computed
        return _compute_groups(store, groups, plan, ledger, progress, tell)


def _compute_groups(
    store: Store,
    groups: Sequence[GroupPlan],
    plan: SweepPlan,
    ledger: Path,
    progress: Callable[[int, int], None] | None,
    tell: Callable[[SweepEvent], None],
) -> Computed:
    run = _Computing(_Course(sum(units_of(group) for group in groups), progress), tell)
    flights = flights_of(groups, plan.threads)
    ahead = FLIGHTS_IN_MEMORY - 1
    config = plan.config
    with (
        closing(prefetch(*_reading(flights, store), ahead=ahead)) as loading,
        LedgerWriter(ledger, config.computation) as writer,
    ):
        clock = time.perf_counter()
        for outcomes in compare_many(
            run.arriving(loading),
            estimator=config.estimator,
            device=config.device,
            precision=config.precision,
            threads=plan.threads,
            progress=run.course.report,
            inference=config.inference or False,
            measures=config.measures,
        ):
            run.computed.computing += time.perf_counter() - clock
            writer.put(run.values(outcomes))
            run.tell_committed(writer)
            clock = time.perf_counter()
        run.computed.computing += time.perf_counter() - clock - run.computed.reading
        writer.finish()
        run.tell_committed(writer)
    run.course.end()
    return run.computed


def _reading(
    flights: Sequence[Flight], store: Store
) -> tuple[Iterator[Flight], Callable[[Flight], list[Loaded | Failure]]]:
    """Return the flights to read, and the function that reads one."""
    buffers = Buffers()

    def to_read() -> Iterator[Flight]:
        yield from flights
        buffers.close()  # a spare buffer would only add to the last pass

    return to_read(), lambda flight: [load_group(group, store, buffers) for group in flight]


class _Computing:
    """Moves groups from the store through the pass to the ledger."""

    def __init__(self, course: _Course, tell: Callable[[SweepEvent], None]) -> None:
        self.course = course
        self.computed = Computed()
        self._tell = tell
        # A GPU computes one flight while the next is copied to it.
        self._begun: deque[list[tuple[GroupPlan, Failure | None]]] = deque()
        self._seconds: dict[int, float] = {}
        self._undefined: dict[int, list[str]] = {}
        self._clock = time.perf_counter()

    def arriving(
        self, loading: Iterator[tuple[Flight, list[Loaded | Failure]]]
    ) -> Iterator[GroupFlight]:
        """Yield each flight as it is read, and keep no reference to it."""
        while True:
            waiting = time.perf_counter()
            read = next(loading, None)
            self.computed.reading += time.perf_counter() - waiting
            if read is None:
                return
            flight, loaded = read
            del read
            self.course.begin(flight)
            self._begun.append(
                [
                    (group, arrays if isinstance(arrays, Failure) else None)
                    for group, arrays in zip(flight, loaded, strict=True)
                ]
            )
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
            del loaded
            yield GroupFlight(groups)
            del groups  # no longer used; the next flight needs the memory

    def values(
        self, outcomes: Sequence[Comparison | InputError | StoreError]
    ) -> list[tuple[GroupPlan, GroupValues]]:
        """Return the ledger's entries for the oldest unfinished flight."""
        now = time.perf_counter()
        took, self._clock = now - self._clock, now
        compared = [outcome for outcome in outcomes if isinstance(outcome, Comparison)]
        of_passes = sum(comparison.provenance["seconds"] for comparison in compared)
        entries = []
        of_the_loaded = iter(outcomes)
        for group, failure in self._begun.popleft():
            if failure is not None:
                self._fail(group, failure.reason)
                continue
            outcome = next(of_the_loaded)
            if not isinstance(outcome, Comparison):
                self._fail(group, str(outcome))
                continue
            share = outcome.provenance["seconds"] / of_passes
            self._seconds[group.position] = took * share
            self._undefined[group.position] = undefined_texts(group, outcome)
            entries.append((group, values_of(outcome)))
        return entries

    def tell_committed(self, writer: LedgerWriter) -> None:
        """Report the groups that were committed since the last call."""
        for group in writer.committed():
            position = group.position
            self.computed.seconds[position] = self._seconds.pop(position)
            for message in self._undefined.pop(position):
                self._tell(SweepEvent("undefined", message, group.name))
            self._tell(SweepEvent("computed", f"'{group.name}' is computed", group.name))

    def _fail(self, group: GroupPlan, reason: str) -> None:
        self.computed.failed[group.position] = reason
        self._tell(SweepEvent("failed", f"group '{group.name}': {reason}", group.name))


class _Course:
    """The progress of all groups together, in units of arithmetic."""

    def __init__(self, total: int, progress: Callable[[int, int], None] | None) -> None:
        self._total = total
        self._progress = progress
        self._before = 0
        self._units = 0

    def begin(self, flight: Flight) -> None:
        self._before += self._units
        self._units = sum(units_of(group) for group in flight)
        self.report(0, 1)

    def report(self, done: int, total: int) -> None:
        if self._progress is not None:
            self._progress(self._before + self._units * done // max(total, 1), self._total)

    def end(self) -> None:
        if self._units:
            self.report(1, 1)


def undefined_texts(group: Loadable, comparison: Comparison) -> list[str]:
    """Return why representations have no similarity."""
    keys = [r.key for r in group.representations]
    texts = [f"{keys[position]}: {reason}" for position, reason in comparison.undefined.items()]
    for name, facts in comparison.provenance.get("measures", {}).items():
        texts += [f"{keys[i]}: {name}: {why}" for i, why in undefined_members(facts).items()]
    return texts


def values_of(comparison: Comparison) -> GroupValues:
    """Return what the ledger keeps of a comparison."""
    stored = {column.attribute: getattr(comparison, column.attribute) for column in STORED}
    return GroupValues(
        matrices={name: matrix for name, matrix in stored.items() if matrix is not None},
        moments={} if comparison.moments is None else comparison.moments.arrays(),
        provenance=dict(comparison.provenance),
        measures=dict(comparison.measures),
    )


def units_of(group: GroupPlan) -> int:
    """Return the units of progress of a group."""
    return max(int(group.pass_plan.flops), 1)
