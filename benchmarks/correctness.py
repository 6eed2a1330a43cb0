"""The errors of every contestant on data that are hard for float32, against float64."""

from __future__ import annotations

from pathlib import Path

from benchmarks import data
from benchmarks.contestants import ALL
from benchmarks.peer_folder import folder_for
from benchmarks.process import ContestantError, Process
from benchmarks.reference import exact_from
from benchmarks.workloads import Workload

N, D, M = 500, 128, 4
UNLIMITED = 1e9
#: Name -> (n, a function from (m, n, d) to the arrays).
KINDS = {
    "plain": (N, data.representations),
    "offset": (N, data.offset),
    "× 1e-3": (N, lambda m, n, d: data.scaled(m, n, d, 1e-3)),
    "× 1e6": (N, lambda m, n, d: data.scaled(m, n, d, 1e6)),
    "heavy tails": (N, data.heavy_tailed),
    "n = 32": (32, data.representations),
    "n = 8": (8, data.representations),
}


def correctness(settings, scratch, tell):
    """Contestant -> kind of data -> its largest error (NaN if it returns NaN), or its exception."""
    loads = {kind: _written(Path(scratch), number, kind) for number, kind in enumerate(KINDS)}
    results = {}
    for contestant in ALL:
        if contestant.package in settings.missing:
            results[contestant.name] = {"missing": settings.missing[contestant.package]}
            continue
        results[contestant.name] = {
            "estimator": contestant.estimator,
            "errors": _errors(contestant, loads, settings),
        }
        tell(f"correctness: {contestant.name}: {results[contestant.name]['errors']}")
    return {"kinds": list(KINDS), "m": M, "n": N, "d": D, "contestants": results}


def _written(scratch, number, kind):
    n, arrays = KINDS[kind]
    path = scratch / f"kind{number}.npy"
    data.write(path, [arrays(M, n, D)], (1, M, n, D))
    question = {
        "do": "load",
        "data": str(path),
        "m": M,
        "groups": 1,
        "distinct": 1,
        "limit": UNLIMITED,
        "room": UNLIMITED,
    }
    return question, exact_from(path, Workload(kind, kind, M, n, D))


def _errors(contestant, loads, settings):
    folder = folder_for(contestant, settings.peers)
    errors = {}
    process = Process(contestant.name, threads=settings.threads, folder=folder)
    for kind, (question, exact) in loads.items():
        try:
            answer = process.ask(question, settings.patience)["answer"]
            errors[kind] = exact.error(answer, contestant.estimator)
        except ContestantError as error:
            errors[kind] = str(error)
            if not process.alive():
                process = Process(contestant.name, threads=settings.threads, folder=folder)
    process.end()
    return errors
