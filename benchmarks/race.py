"""The contestants of a workload: each is checked against float64, then all are timed in turn."""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.by_fastcka import plan
from benchmarks.peer_folder import folder_for
from benchmarks.process import ContestantError, Process, room
from benchmarks.rates import FLOPS, RATES
from benchmarks.reference import exact_from


@dataclass(frozen=True)
class Settings:
    """How a run measures.

    Attributes
    ----------
    repeats
        Calls of each contestant; fewer if they take more than twice `limit`.
    limit
        Seconds per call; a slower contestant is timed on a part, and its time extrapolated.
    patience
        Seconds after which a contestant without an answer is stopped.
    missing
        Package -> why its contestants cannot take part.
    """

    threads: int
    peers: Path
    repeats: int = 5
    limit: float = 3.0
    patience: float = 90.0
    missing: dict[str, str] = field(default_factory=dict)


def race(workload, settings, scratch, tell):
    """The figures of each contestant and each rate, and the facts of the workload."""
    path = Path(scratch) / f"{workload.name}.npy"
    workload.write(path)
    with ExitStack() as stack:
        course = _Course(workload, settings, exact_from(path, workload), path, stack)
        rates = {name: course.enter_rate(name) for name in RATES}
        results = {}
        for contestant in workload.contestants():
            measured = results[contestant.name] = course.enter(contestant)
            tell(f"{workload.name}: {contestant.name}: {_outcome(measured)}")
        for _ in range(settings.repeats):
            course.go_round()
    path.unlink()
    for measured in (*results.values(), *rates.values()):
        if measured.get("seconds"):
            measured["median"] = statistics.median(measured["seconds"])
            measured["time"] = measured["median"] * measured["factor"]
    return {**_described(workload, settings), "rates": rates, "contestants": results}


class _Course:
    """The contestants and rates that are timed in turn, each in a process, and their figures."""

    def __init__(self, workload, settings, exact, path, stack):
        self._workload, self._settings = workload, settings
        self._exact, self._path = exact, path
        self._stack = stack
        self._running = []
        self._answers = {}

    def enter_rate(self, name):
        """The figures of a rate, without times yet."""
        measured = {"seconds": [], "factor": 1, "flops": FLOPS}
        process = self._started(name)
        try:
            process.ask({"do": "load"}, self._settings.patience)
            self._running.append((process, measured))
        except ContestantError as error:
            measured["failed"] = str(error)
        return measured

    def enter(self, contestant):
        """The figures of a contestant after its first answer; times are added by `go_round`."""
        missing = self._settings.missing.get(contestant.package)
        if missing is not None:
            return {"missing": missing}
        process = self._started(contestant.name, folder_for(contestant, self._settings.peers))
        try:
            measured, first = self._loaded(contestant, process)
        except ContestantError as error:
            return {"failed": str(error)}
        if first > self._settings.limit:  # too slow to repeat
            measured["seconds"] = [first]
        elif "refused" not in measured:
            measured["seconds"] = []
            self._running.append((process, measured))
            return measured
        process.end()
        return measured

    def go_round(self):
        """Time a call of each; one that fails or has taken enough time leaves."""
        for running in list(self._running):
            process, measured = running
            try:
                measured["seconds"].append(process.seconds(self._settings.patience))
            except ContestantError as error:
                measured["seconds"], measured["failed"] = [], str(error)
            if "failed" in measured or sum(measured["seconds"]) > 2 * self._settings.limit:
                process.end()
                self._running.remove(running)

    def _started(self, name, folder=None):
        process = Process(name, threads=self._settings.threads, folder=folder)
        return self._stack.enter_context(process)

    def _loaded(self, contestant, process):
        """The figures without times, and the seconds of the first call."""
        workload, settings = self._workload, self._settings
        timed_groups = workload.timed_groups or workload.groups
        question = {
            "do": "load",
            "data": str(self._path),
            "m": workload.m,
            "groups": timed_groups,
            "distinct": workload.distinct,
            "limit": settings.limit,
            "room": room() // 2,
        }
        measured = process.ask(question, settings.patience)
        answer, first = measured.pop("answer"), measured.pop("first_seconds")
        self._answers[contestant.name] = answer
        measured["factor"] *= workload.groups / timed_groups
        measured["error"] = self._exact.error(answer, contestant.estimator)
        if not measured["error"] <= contestant.tolerance:
            measured["refused"] = f"wrong by {measured['error']:.1g}: not timed"
        elif answer == self._answers.get(contestant.differs_from):
            measured["refused"] = f"the same bits as {contestant.differs_from}: not timed"
        return measured, 0.0 if "refused" in measured else first


def _described(workload, settings):
    planned = plan(workload.n, [workload.d] * workload.m, settings.threads)
    route = planned["route"]
    return {
        "title": workload.title,
        "m": workload.m,
        "n": workload.n,
        "d": workload.d,
        "groups": workload.groups,
        "timed_groups": workload.timed_groups or workload.groups,
        "pairs": workload.pairs,
        "route": route,
        "plan": planned,
        "flops": workload.flops(route),
    }


def _outcome(measured):
    """One line for the terminal."""
    for reason in ("missing", "failed", "refused"):
        if reason in measured:
            return measured[reason]
    return f"checked, error {measured['error']:.1e}"
