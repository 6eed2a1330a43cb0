"""Every contestant on data that hurt float32, against float64 of the estimator that it computes."""

from __future__ import annotations

from pathlib import Path

from benchmarks import data
from benchmarks.contestants import ALL
from benchmarks.peer_folder import place_of
from benchmarks.process import ContestantError, Process
from benchmarks.race import Exact
from benchmarks.workloads import Workload

N, D, M = 500, 128, 4
UNLIMITED = 1e9
#: Name -> (n, how the arrays come from (m, n, d)).
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
    """Contestant -> kind of data -> its largest error (NaN if it gives NaN), or what it raised."""
    loads = {kind: _written(Path(scratch), at, kind) for at, kind in enumerate(KINDS)}
    found = {}
    for contestant in ALL:
        if contestant.package in settings.missing:
            found[contestant.name] = {"missing": settings.missing[contestant.package]}
            continue
        found[contestant.name] = {
            "estimator": contestant.estimator,
            "errors": _errors(contestant, loads, settings),
        }
        tell(f"correctness: {contestant.name}: {found[contestant.name]['errors']}")
    return {"kinds": list(KINDS), "m": M, "n": N, "d": D, "contestants": found}


def _written(scratch, at, kind):
    n, arrays = KINDS[kind]
    path = scratch / f"kind{at}.npy"
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
    return question, Exact(path, Workload(kind, kind, M, n, D))


def _errors(contestant, loads, settings):
    place = place_of(contestant, settings.peers)
    errors = {}
    process = Process(contestant.name, threads=settings.threads, folder=place)
    for kind, (question, exact) in loads.items():
        try:
            told = process.ask(question, settings.patience)
            errors[kind] = exact.error(told["answer"], contestant.estimator)
        except ContestantError as error:
            errors[kind] = str(error)
            if not process.alive():
                process = Process(contestant.name, threads=settings.threads, folder=place)
    process.end()
    return errors
