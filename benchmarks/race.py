"""The contestants of a workload: each checked against float64, then timed in turn."""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks import data, reference
from benchmarks.by_fastcka import plan
from benchmarks.peer_folder import place_of
from benchmarks.process import ContestantError, Process, room
from benchmarks.rates import FLOPS, RATES


@dataclass(frozen=True)
class Settings:
    """How a run measures.

    Attributes
    ----------
    repeats
        Calls of each contestant; fewer of one for which they would take more than twice `limit`.
    limit
        Seconds that one call may take; a slower contestant is timed on a part, and extrapolated.
    patience
        Seconds after which a contestant that gives no answer is stopped.
    missing
        Package -> why it is not there.
    """

    threads: int
    peers: Path
    repeats: int = 5
    limit: float = 3.0
    patience: float = 90.0
    missing: dict[str, str] = field(default_factory=dict)


def race(workload, settings, scratch, tell):
    """The figures of each contestant and each rate, and what the workload is."""
    path = Path(scratch) / f"{workload.name}.npy"
    workload.write(path)
    with ExitStack() as stack:
        course = _Course(workload, settings, Exact(path, workload), stack)
        rates = {name: course.enter_rate(name) for name in RATES}
        found = {}
        for contestant in workload.contestants():
            entry = found[contestant.name] = course.enter(contestant)
            tell(f"{workload.name}: {contestant.name}: {_said(entry)}")
        for _ in range(settings.repeats):
            course.go_round()
    path.unlink()
    for entry in (*found.values(), *rates.values()):
        if entry.get("seconds"):
            entry["median"] = statistics.median(entry["seconds"])
            entry["time"] = entry["median"] * entry["factor"]
    return {**_described(workload, settings), "rates": rates, "contestants": found}


class Exact:
    """CKA of a workload's first group in float64, of as many representations as are checked."""

    def __init__(self, path, workload):
        self.path = path
        shape = workload.m, workload.n, workload.d
        self._positions = reference.checked_positions(*shape)
        self._arrays = data.read(path, 0, self._positions)
        self._found = {}

    def error(self, answer, estimator):
        """The largest deviation of an answer for the first representations; NaN if it has any."""
        if estimator not in self._found:
            self._found[estimator] = reference.cka_matrix(self._arrays, estimator)
        answer = np.asarray(answer)
        if not np.isfinite(answer).all():
            return float("nan")
        within = [at for at in self._positions if at < len(answer)]
        expected = self._found[estimator][: len(within), : len(within)]
        return float(np.abs(answer[np.ix_(within, within)] - expected).max())


class _Course:
    """Those who are timed in turn: each has a process, and an entry that is filled."""

    def __init__(self, workload, settings, exact, stack):
        self._workload, self._settings, self._exact = workload, settings, exact
        self._stack = stack
        self._running = []
        self._answers = {}

    def enter_rate(self, name):
        """The entry of a rate."""
        entry = {"seconds": [], "factor": 1, "flops": FLOPS}
        process = self._started(name)
        try:
            process.ask({"do": "load"}, self._settings.patience)
            self._running.append((process, entry))
        except ContestantError as error:
            entry["failed"] = str(error)
        return entry

    def enter(self, contestant):
        """The entry of a contestant as far as its first answer tells."""
        missing = self._settings.missing.get(contestant.package)
        if missing is not None:
            return {"missing": missing}
        process = self._started(contestant.name, place_of(contestant, self._settings.peers))
        try:
            entry, first = self._loaded(contestant, process)
        except ContestantError as error:
            return {"failed": str(error)}
        if first > self._settings.limit:  # then that call must do
            entry["seconds"] = [first]
        elif "refused" not in entry:
            entry["seconds"] = []
            self._running.append((process, entry))
            return entry
        process.end()
        return entry

    def go_round(self):
        """Time a call of each; who has had enough, or fails, is no longer there."""
        for running in list(self._running):
            process, entry = running
            try:
                entry["seconds"].append(process.seconds(self._settings.patience))
            except ContestantError as error:
                entry["seconds"], entry["failed"] = [], str(error)
            if "failed" in entry or sum(entry["seconds"]) > 2 * self._settings.limit:
                process.end()
                self._running.remove(running)

    def _started(self, name, folder=None):
        process = Process(name, threads=self._settings.threads, folder=folder)
        return self._stack.enter_context(process)

    def _loaded(self, contestant, process):
        """An entry without times, and the seconds of the first call."""
        workload, settings = self._workload, self._settings
        timed_groups = workload.timed_groups or workload.groups
        question = {
            "do": "load",
            "data": str(self._exact.path),
            "m": workload.m,
            "groups": timed_groups,
            "distinct": workload.distinct,
            "limit": settings.limit,
            "room": room() // 2,
        }
        entry = process.ask(question, settings.patience)
        answer, first = entry.pop("answer"), entry.pop("first_seconds")
        self._answers[contestant.name] = answer
        entry["factor"] *= workload.groups / timed_groups
        entry["error"] = self._exact.error(answer, contestant.estimator)
        if not entry["error"] <= contestant.tolerance:
            entry["refused"] = f"wrong by {entry['error']:.1g}: not timed"
        elif answer == self._answers.get(contestant.differs_from):
            entry["refused"] = f"the same bits as {contestant.differs_from}: not timed"
        return entry, 0.0 if "refused" in entry else first


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


def _said(entry):
    """One line for whoever waits."""
    for reason in ("missing", "failed", "refused"):
        if reason in entry:
            return entry[reason]
    return f"checked, error {entry['error']:.1e}"
