"""The contestants of a workload: each is checked against float64, then all are timed in turn."""

from __future__ import annotations

import statistics
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.by_fastcka import implementations, plan
from benchmarks.contestants import FASTCKA, FASTCKA_FAST
from benchmarks.process import PAUSE, ContestantError, room
from benchmarks.rates import RATES
from benchmarks.reference import exact_from

#: Samples of a contestant that is slow, but not too slow to repeat.
LEAST = 3


@dataclass(frozen=True)
class Settings:
    """How a run measures.

    Attributes
    ----------
    repeats
        Calls of each contestant; three if these take more than twice `limit`.
    limit
        Seconds per call; a slower contestant is timed on a part, and its time extrapolated.
    patience
        Seconds after which a contestant without an answer is stopped.
    missing
        Package -> why its contestants cannot take part.
    pause
        Seconds before each call; see `process.PAUSE`.
    extent
        Rows and columns of the matrices of sgemm.
    reuse
        Whether a contestant keeps its process for all workloads.
    """

    threads: int
    peers: Path
    repeats: int = 5
    limit: float = 3.0
    patience: float = 90.0
    missing: dict[str, str] = field(default_factory=dict)
    pause: float = PAUSE
    extent: int = 4000
    reuse: bool = False


def race(workload, settings, processes, scratch, progress, raced):
    """Put the facts of the workload and the figures of each contestant and rate into `raced`.

    Each figure is there as soon as it is measured.
    """
    title = f"{workload.name}: {workload.title} ({workload.shape})"
    present = [each for each in workload.contestants() if each.package not in settings.missing]
    planned = _describe(workload, settings, raced)
    others = [name for name in implementations() if name != planned]
    progress.part(title, len(present) + len(others))
    path = Path(scratch) / f"{workload.name}.npy"
    progress.now("writing the data")
    workload.write(path)
    progress.now("computing float64 values to check against")
    course = _Course(workload, settings, processes, progress, exact_from(path, workload), path)
    course.run(present, RATES, raced)
    if FASTCKA in present and FASTCKA_FAST in present:
        for name in others:
            course.compare_precisions(name, raced["implementations"])
    path.unlink()


def _describe(workload, settings, raced):
    """Put the facts of the workload into `raced`; return the implementation that is planned."""
    planned = plan(workload.n, [workload.d] * workload.m, settings.threads)
    raced.update(
        title=workload.title,
        m=workload.m,
        n=workload.n,
        d=workload.d,
        groups=workload.groups,
        pairs=workload.pairs,
        route=planned["route"],
        plan=planned,
        flops=workload.flops(planned["route"]),
        rates={},
        contestants={},
        implementations={},
    )
    return planned["implementation"]


class _Course:
    """The contestants and rates that are timed in turn, each in a process, and their figures."""

    def __init__(self, workload, settings, processes, progress, exact, path):
        self._workload, self._settings = workload, settings
        self._processes, self._progress = processes, progress
        self._exact = exact
        self._question = {
            "do": "load",
            "data": str(path),
            "m": workload.m,
            "groups": workload.groups,
            "distinct": workload.distinct,
            "limit": settings.limit,
        }
        self._running = []

    def run(self, contestants, rates, raced):
        """Check all contestants, then time them and the rates in turn."""
        self._start(contestants, rates)
        for name in rates:
            self._progress.now(f"warming up {name}")
            raced["rates"][name] = self._enter_rate(name)
        answers = {}
        for contestant in contestants:
            self._progress.begin(contestant.name)
            measured = raced["contestants"][contestant.name] = {}
            self._enter(contestant, self._processes.get(contestant), answers, measured)
            self._progress.done(outcome(measured))
        self._time_all()

    def _start(self, contestants, rates):
        """Start all processes, as many at a time as there are threads: imports take long."""
        starts = [partial(self._processes.rate, name) for name in rates]
        starts += [partial(self._processes.get, contestant) for contestant in contestants]
        for number, start in enumerate(starts, 1):
            self._progress.now(f"starting process {number} of {len(starts)}")
            for ahead in starts[number : number + self._settings.threads - 1]:
                ahead()
            with suppress(ContestantError):  # the first real question has the same error
                start().ask({"do": "ready"}, self._settings.patience)

    def compare_precisions(self, implementation, results):
        """Time "high" and "fast" in turn on another implementation, unless the bits are equal."""
        measured, answers = results.setdefault(implementation, {}), {}
        self._progress.begin(f"fast against high on {implementation}")
        for contestant in (FASTCKA, FASTCKA_FAST):
            process = self._processes.get(contestant, implementation=implementation)
            measured[contestant.name] = {}
            self._enter(contestant, process, answers, measured[contestant.name])
        if any("seconds" not in each for each in measured.values()):
            self._leave_all()
        self._time_all()
        self._progress.done(_compared(measured))

    def _enter_rate(self, name):
        """The figures of a rate, without times yet."""
        measured = {"seconds": [], "factor": 1, "flops": 2 * self._settings.extent**3}
        process = self._processes.rate(name)
        try:
            process.ask({"do": "load", "extent": self._settings.extent}, self._settings.patience)
            self._running.append((name, process, measured))
        except ContestantError as error:
            measured["failed"] = str(error)
        return measured

    def _enter(self, contestant, process, answers, measured):
        """Check the first answer of a contestant; it runs if its calls are to be timed."""
        try:
            first = self._load(process, measured)
        except ContestantError as error:
            measured["failed"] = str(error)
            self._processes.release(process)
            return
        answer = answers[contestant.name] = measured.pop("answer")
        measured["error"] = self._exact.error(answer, contestant.estimator)
        if not measured["error"] <= contestant.tolerance:
            measured["refused"] = f"wrong by {measured['error']:.1g}: not timed"
        elif answer == answers.get(contestant.differs_from):
            measured["refused"] = f"the same bits as {contestant.differs_from}: not timed"
        else:
            measured["seconds"] = []
            most = self._settings.limit * (1 if measured["because"] else 3)
            if first <= most:
                self._running.append((contestant.name, process, measured))
                return
            _add(measured, first)  # too slow to repeat
        self._processes.release(process)

    def _load(self, process, measured, **changes):
        """Put the figures of the first call into `measured`; return its seconds."""
        question = {**self._question, "room": room() // 2, **changes}
        measured.update(process.ask(question, self._settings.patience))
        return measured["first_seconds"]

    def _time_all(self):
        """Time one call of each in turn, until each has been timed often enough."""
        rounds = 0
        while self._running:
            rounds += 1
            for running in list(self._running):
                self._progress.now(
                    f"timing, round {rounds} of {self._settings.repeats}: {running[0]}"
                )
                self._time(running)

    def _time(self, running):
        """Time a call; a contestant that fails or has been timed often enough leaves."""
        _, process, measured = running
        limit = self._settings.limit
        try:
            _add(measured, process.seconds(self._settings.patience, self._settings.pause))
            if measured.get("because") == "time" and measured["time"] <= limit:
                # The first calls were slower than this one: the whole is affordable.
                self._load(process, measured, whole=True)
                del measured["answer"], measured["median"], measured["time"]
                measured["seconds"] = []
        except ContestantError as error:
            measured.update(seconds=[], failed=str(error))
            measured.pop("time", None)
        taken = measured["seconds"]
        slow = sum(taken) > 2 * limit and len(taken) >= min(LEAST, self._settings.repeats)
        if "failed" in measured or slow or len(taken) >= self._settings.repeats:
            self._running.remove(running)
            self._processes.release(process)

    def _leave_all(self):
        for _, process, _ in self._running:
            self._processes.release(process)
        self._running.clear()


def _add(measured, seconds):
    """Add a sample; the median and the time of the whole follow."""
    measured["seconds"].append(seconds)
    measured["median"] = statistics.median(measured["seconds"])
    measured["time"] = measured["median"] * measured["factor"]


def outcome(measured):
    """What the check of a contestant gave, for the terminal."""
    for reason in ("failed", "refused"):
        if reason in measured:
            return measured[reason]
    return f"right, error {measured['error']:.0e}"


def _compared(measured):
    """How "fast" compares with "high" on another implementation, for the terminal."""
    high, fast = measured[FASTCKA.name], measured[FASTCKA_FAST.name]
    if "time" in high and "time" in fast:
        return f"{fast['time'] / high['time']:.2f} of its time"
    if fast.get("refused", "").startswith("the same bits"):
        return "the same bits"
    return outcome(fast if "time" in high else high)
