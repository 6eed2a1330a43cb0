"""The errors of every contestant on data that are hard for float32, against float64."""

from __future__ import annotations

from pathlib import Path

from benchmarks import data
from benchmarks.contestants import ALL
from benchmarks.process import ContestantError
from benchmarks.reference import exact_from
from benchmarks.workloads import Workload

N, QUICK_N, D, M = 500, 200, 128, 4
#: Name -> (n, if it is not that of most, and a function from (m, n, d) to the arrays).
KINDS = {
    "plain": (None, data.representations),
    "offset": (None, data.offset),
    "× 1e-3": (None, lambda m, n, d: data.scaled(m, n, d, 1e-3)),
    "× 1e6": (None, lambda m, n, d: data.scaled(m, n, d, 1e6)),
    "heavy tails": (None, data.heavy_tailed),
    "n = 32": (32, data.representations),
    "n = 8": (8, data.representations),
}


def correctness(settings, processes, scratch, progress, results, *, quick=False):
    """Put contestant -> kind of data -> its largest error, or its exception, into `results`."""
    left_out = {each.package for each in ALL if quick and each.peer} | set(settings.missing)
    present = [each for each in ALL if each.package not in left_out]
    progress.part("correctness: errors on data that are hard for float32", len(present))
    progress.now("writing the data")
    n = QUICK_N if quick else N
    loads = {kind: _written(Path(scratch), number, kind, n) for number, kind in enumerate(KINDS)}
    results.update(kinds=list(KINDS), m=M, n=n, d=D, contestants={})
    for contestant in present:
        progress.begin(contestant.name)
        errors = _errors(contestant, loads, settings, processes)
        results["contestants"][contestant.name] = {
            "estimator": contestant.estimator,
            "errors": errors,
        }
        progress.done(_outcome(errors))


def _outcome(errors):
    """The largest error, or the kinds that gave none."""
    failed = [kind for kind, error in errors.items() if isinstance(error, str) or error != error]
    if failed:
        return f"no finite answer for {', '.join(failed)}"
    return f"errors up to {max(errors.values()):.0e}"


def _written(scratch, number, kind, most):
    n, arrays = KINDS[kind]
    n = n or most
    path = scratch / f"kind{number}.npy"
    data.write(path, [arrays(M, n, D)], (1, M, n, D))
    question = {"do": "load", "data": str(path), "m": M, "groups": 1, "distinct": 1}
    return question, exact_from(path, Workload(kind, kind, M, n, D))


def _errors(contestant, loads, settings, processes):
    errors = {}
    for kind, (question, exact) in loads.items():
        process = processes.get(contestant)
        try:
            answer = process.ask(question, settings.patience)["answer"]
            errors[kind] = exact.error(answer, contestant.estimator)
        except ContestantError as error:
            errors[kind] = str(error)
    processes.release(process)
    return errors
