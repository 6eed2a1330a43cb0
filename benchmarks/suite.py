"""All parts of the suite, measured into one record, which is written after every part."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import machine, record
from benchmarks.contestants import ALL
from benchmarks.correctness import correctness
from benchmarks.growth import growth
from benchmarks.picture import draw
from benchmarks.race import race
from benchmarks.small import small
from benchmarks.sweep import from_store
from benchmarks.table import markdown
from benchmarks.workloads import FULL, QUICK

#: Parts that are not workloads.
OTHERS = ("growth", "small", "correctness")


def names():
    """The parts that `--only` accepts."""
    return [workload.name for workload in FULL] + list(OTHERS)


def run(settings, output, only, *, quick, tell):
    """Measure the parts named in `only`; write record.json, table.md and growth.png to `output`."""
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    kept = record.Record(output / "record.json", _conditions(settings, quick))
    workloads = {}
    with tempfile.TemporaryDirectory(prefix="fastcka-benchmarks-") as scratch:
        for workload in QUICK if quick else FULL:
            if workload.name in only:
                raced = race(workload, settings, scratch, tell)
                if workload.name == "sweep":
                    stored = from_store(workload, settings, scratch, tell)
                    raced["contestants"] = {**stored, **raced["contestants"]}
                workloads[workload.name] = raced
                kept.put("workloads", workloads)
        if "growth" in only:
            kept.put("growth", growth(settings, scratch, tell, quick=quick))
        if "small" in only:
            kept.put("small", small(settings, tell))
        if "correctness" in only:
            kept.put("correctness", correctness(settings, scratch, tell))
    kept.put("finished", _now())
    facts = record.read(kept.path)
    (output / "table.md").write_text(markdown(facts), encoding="utf-8")
    if "growth" in facts:
        draw(facts["growth"], output / "growth.png")
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
