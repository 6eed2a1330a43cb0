"""Groups that wait for a flight, or are computed; see `fastcka.core.compare_many`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fastcka.core.flight import FlightLoad, is_small
from fastcka.core.options import Options
from fastcka.core.request import AnyGroup, Flight, Group
from fastcka.core.result import Outcome, Result
from fastcka.core.streaming.work import StreamWork
from fastcka.core.work import Begun, CpuWork, CudaWork, begin, finish
from fastcka.errors import InputError


class GroupQueue:
    """Groups that are begun and not yet finished.

    Invariant: whenever outcomes are handed out or the next group is taken, this holds at most the
    small groups that wait for their flight to fill up (on the CPU), and one flight that a GPU
    computes. The arrays of all earlier flights have been let go.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._waiting: list[Begun] = []
        self._load = FlightLoad(options.threads)
        self._on_gpu: list[Begun] = []

    def outcomes(self, groups: Iterable[AnyGroup | Flight]) -> Iterator[list[Outcome]]:
        """Take the groups and yield the outcomes of each flight."""
        source = iter(groups)
        error: Exception | None = None
        while True:
            try:
                group = next(source)
                together = isinstance(group, Flight)
                members = group.groups if isinstance(group, Flight) else [group]
                del group  # the next group may need its memory
                begun = [self._begin(member) for member in members]
                del members
            except StopIteration:
                break
            except Exception as stopped:
                error = stopped
                break
            if together:
                yield from self._launch_waiting()
                yield from self._launch(begun)
            else:
                yield from self._add(begun.pop())
        yield from self._launch_waiting()
        if self._on_gpu:
            yield self._finish(self._on_gpu)
        if error is not None:
            raise error

    def _begin(self, group: AnyGroup) -> Begun:
        try:
            return begin(group if isinstance(group, Group) else Group(group), self._options)
        except InputError as error:
            error.__context__ = error.__cause__ = None
            return error.with_traceback(None)  # its frames hold on to the arrays

    def _add(self, work: Begun) -> Iterator[list[Outcome]]:
        alone = not isinstance(work, InputError) and not _goes_with_others(work)
        if alone:
            yield from self._launch_waiting()
        self._waiting.append(work)
        if isinstance(work, CpuWork):
            self._load.add(work.plan)
        else:
            self._load.add_failed()
        del work
        if alone or self._load.full:
            yield from self._launch_waiting()

    def _launch_waiting(self) -> Iterator[list[Outcome]]:
        if self._waiting:
            flight, self._waiting = self._waiting, []
            self._load = FlightLoad(self._options.threads)
            yield from self._launch(flight)

    def _launch(self, flight: list[Begun]) -> Iterator[list[Outcome]]:
        if self._on_gpu:
            before, self._on_gpu = self._on_gpu, []
            yield self._finish(before)
        if any(isinstance(work, CudaWork) for work in flight):
            self._on_gpu = flight
        else:
            yield self._finish(flight)

    def _finish(self, flight: list[Begun]) -> list[Outcome]:
        outcomes = [
            outcome.comparison() if isinstance(outcome, Result) else outcome
            for outcome in finish(flight, self._options)
        ]
        flight.clear()  # its arrays, before the next group is taken
        return outcomes


def _goes_with_others(work: CpuWork | CudaWork | StreamWork) -> bool:
    # The caller's next group may have a staged representation in the same memory.
    return isinstance(work, CpuWork) and is_small(work.plan) and not work.request.staged
