"""All parts of the suite, measured into one record, which is written after every part."""

from __future__ import annotations

import signal
import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import machine, record
from benchmarks.contestants import ALL
from benchmarks.correctness import correctness
from benchmarks.growth import growth
from benchmarks.picture import draw
from benchmarks.processes import Processes
from benchmarks.race import race
from benchmarks.small import small
from benchmarks.sweep import from_store
from benchmarks.table import markdown
from benchmarks.workloads import FULL, QUICK

#: Parts that are not workloads: their names, and what each measures.
OTHERS = {
    "growth": "measured and predicted seconds, as n, d, M and the threads grow",
    "small": "small calls compared with NumPy, the first call, and the import",
    "correctness": "errors on data that are hard for float32",
}
PICTURE = "growth.png"


class TimeOver(BaseException):
    """The run has used its time. As KeyboardInterrupt, it is no error of what it interrupts."""


#: What ends a run early, as the record names it; an error also ends it, and is raised.
STOPS = {KeyboardInterrupt: "Ctrl-C", TimeOver: "time"}


def names():
    """The parts that `--only` accepts, and what each is."""
    return {workload.name: f"{workload.title} ({workload.shape})" for workload in FULL} | OTHERS


def run(settings, output, only, *, quick, progress):
    """Measure the parts named in `only`; write record.json, table.md and growth.png to `output`.

    Ctrl-C and `TimeOver` end the measurements and keep what was measured: `facts["stopped"]` has
    the reason, the part that was not finished, and those that were not begun.

    Returns
    -------
    dict or None
        The facts of the record; None if nothing was measured, and then nothing is written.
    """
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    kept = record.Record(output / "record.json", _conditions(settings, quick))
    left = list(only)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="fastcka-benchmarks-") as scratch,
            Processes(settings.threads, settings.peers, reuse=settings.reuse) as processes,
        ):
            while left:
                _measure(left[0], kept.facts, settings, processes, scratch, progress, quick)
                left.pop(0)
                kept.write()
    except BaseException as stop:
        reason = STOPS.get(type(stop), "an error")
        kept.facts["stopped"] = {"by": reason, "in": left[0] if left else None, "left": left[1:]}
        if type(stop) not in STOPS:
            raise
    finally:
        with _undisturbed():
            facts = _written(kept, output) if measured(kept.facts) else None
    return facts


@contextmanager
def _undisturbed():
    """Ignore another Ctrl-C and the end of the time while the results are written."""
    numbers = signal.SIGINT, signal.SIGALRM
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def measured(facts):
    """The parts that have figures."""
    parts = [
        name
        for name, workload in facts["workloads"].items()
        if any(workload.get("contestants", {}).values())
    ]
    if any(
        "seconds" in each
        for along in facts.get("growth", {}).get("axes", {}).values()
        for each in along
    ):
        parts.append("growth")
    if "start" in facts.get("small", {}):
        parts.append("small")
    if facts.get("correctness", {}).get("contestants"):
        parts.append("correctness")
    return parts


def _measure(part, facts, settings, processes, scratch, progress, quick):
    """Measure one part into the facts."""
    if part == "growth":
        growth(settings, processes, scratch, progress, facts.setdefault(part, {}), quick=quick)
    elif part == "small":
        small(settings, progress, facts.setdefault(part, {}), quick=quick)
    elif part == "correctness":
        correctness(settings, processes, scratch, progress, facts.setdefault(part, {}), quick=quick)
    else:
        workload = next(each for each in (QUICK if quick else FULL) if each.name == part)
        if workload.kind == "transformer" and "torch" in settings.missing:
            progress.part(f"{part}: left out, because it needs torch", 0)
            facts.setdefault("skipped", {})[part] = "it needs torch"
            return
        raced = facts["workloads"].setdefault(part, {})
        race(workload, settings, processes, scratch, progress, raced)
        if part == "sweep":
            from_store(workload, settings, scratch, progress, raced["contestants"])


def _written(kept, output):
    """Write the record, the tables and the curves of what was measured."""
    facts, parts = kept.facts, measured(kept.facts)
    facts["workloads"] = {name: facts["workloads"][name] for name in parts if name not in OTHERS}
    for name in OTHERS:
        if name not in parts:
            facts.pop(name, None)
    kept.put("finished", _now())
    facts = record.read(kept.path)
    (output / "table.md").write_text(markdown(facts), encoding="utf-8")
    (output / PICTURE).unlink(missing_ok=True)
    if "growth" in facts and machine.version("matplotlib"):
        draw(facts["growth"], output / PICTURE)
    return facts


def _conditions(settings, quick):
    """The facts that are known before anything is measured."""
    return {
        "format": record.FORMAT,
        "machine": machine.machine(),
        "versions": machine.versions(),
        "commit": machine.commit(),
        "started": _now(),
        "quick": quick,
        "threads": settings.threads,
        "limit": settings.limit,
        "patience": settings.patience,
        "missing": settings.missing,
        "entries": {contestant.name: _entry(contestant) for contestant in ALL},
        "workloads": {},
    }


def _entry(contestant):
    return {
        "package": contestant.package,
        "entry": contestant.entry,
        "estimator": contestant.estimator,
        "peer": contestant.peer,
    }


def _now():
    return datetime.now(UTC).isoformat(timespec="seconds")
