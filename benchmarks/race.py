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
        Calls of each contestant; fewer of one that takes more than half of `limit`.
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
    limit: float = 5.0
    patience: float = 90.0
    missing: dict[str, str] = field(default_factory=dict)


def race(workload, settings, scratch, tell):
    """The figures of each contestant and each rate, and what the workload is."""
    path = Path(scratch) / f"{workload.name}.npy"
    workload.write(path)
    exact = Exact(path, workload)
    found = {}
    with ExitStack() as stack:
        running = {}
        for name in RATES:
            process = stack.enter_context(Process(name, threads=settings.threads))
            process.ask({"do": "load"}, settings.patience)
            running[name] = process
            found[name] = {"seconds": []}
        for contestant in workload.contestants():
            name = contestant.name
            if contestant.package in settings.missing:
                found[name] = {"missing": settings.missing[contestant.package]}
            else:
                process = stack.enter_context(
                    Process(
                        name,
                        threads=settings.threads,
                        folder=place_of(contestant, settings.peers),
                    )
                )
                found[name], goes_on = _entered(contestant, process, workload, exact, settings)
                if goes_on:
                    running[name] = process
                else:
                    process.end()
            tell(f"{workload.name}: {name}: {_said(found[name])}")
        for _ in range(settings.repeats):
            for name, process in list(running.items()):
                try:
                    found[name]["seconds"].append(process.seconds(settings.patience))
                    if sum(found[name]["seconds"]) > settings.repeats * settings.limit / 2:
                        del running[name]
                except ContestantError as error:
                    found[name] = {"failed": str(error)}
                    del running[name]
    path.unlink()
    rates = {name: _rate(found.pop(name)) for name in RATES}
    for entry in found.values():
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
        arrays = data.read(path, 0, workload.m)
        self._arrays = [arrays[at] for at in self._positions]
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


def _entered(contestant, process, workload, exact, settings):
    """A contestant's entry as far as its first answer tells, and whether it is timed in turn."""
    timed_groups = workload.timed_groups or workload.groups
    question = {
        "do": "load",
        "data": str(exact.path),
        "m": workload.m,
        "groups": timed_groups,
        "distinct": workload.distinct,
        "limit": settings.limit,
        "room": room() // 2,
    }
    try:
        told = process.ask(question, settings.patience)
        answer, first = told.pop("answer"), told.pop("first_seconds")
        told["factor"] *= workload.groups / timed_groups
        told["error"] = exact.error(answer, contestant.estimator)
        if not told["error"] <= contestant.tolerance:
            return {**told, "refused": f"wrong by {told['error']:.1g}: not timed"}, False
        slow = first > settings.limit  # then that call must do
        return {**told, "seconds": [first] * slow}, not slow
    except ContestantError as error:
        return {"failed": str(error)}, False


def _rate(entry):
    median = statistics.median(entry["seconds"])
    return {**entry, "median": median, "flops_per_second": FLOPS / median}


def _described(workload, settings):
    route = plan(workload.n, [workload.d] * workload.m, settings.threads)["route"]
    return {
        "title": workload.title,
        "m": workload.m,
        "n": workload.n,
        "d": workload.d,
        "groups": workload.groups,
        "timed_groups": workload.timed_groups or workload.groups,
        "pairs": workload.pairs,
        "route": route,
        "flops": workload.flops(route),
    }


def _said(entry):
    """One line for whoever waits."""
    for reason in ("missing", "failed", "refused"):
        if reason in entry:
            return entry[reason]
    return f"checked, error {entry['error']:.1e}"
