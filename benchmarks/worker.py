"""One contestant in a separate process: ``python -m benchmarks.worker NAME BYTES``.

It reads a JSON object from each line and answers with one. BYTES limits the memory of its data.
The output of libraries goes to stderr.

    {"do": "ready"}                      answers when all is imported
    {"do": "load", "data": path, ...}    reads the arrays and answers with the first result
    {"do": "go"}                         computes it again and answers with the seconds

NAME can also be a rate, which has no result: how fast a library multiplies large matrices.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.metadata
import json
import math
import os
import resource
import sys
from contextlib import suppress

import numpy as np

from benchmarks import data
from benchmarks.clock import timed, wall_seconds
from benchmarks.contestants import BY_NAME
from benchmarks.rates import RATES
from benchmarks.sizing import Part, Sizing

WARMING = slice(64), slice(8)


class Timed:
    """A contestant with the arrays of a workload, or with the part that it can afford."""

    def __init__(self, name):
        self._contestant = BY_NAME[name]
        self._call = self._contestant.groups()
        self._groups = []

    def load(self, question):
        """Choose a part, read it, compute it; return the answer, the part's size and its cost.

        `question` has the file of the data, their shape (groups, distinct groups, m), and the
        limits of one call: `limit` seconds, `room` bytes. With `whole`, there are no limits.
        """
        contestant, part = self._contestant, Part(question["groups"], question["m"])
        self._groups = self._read(question, 1, min(2, part.m))
        self._call([[x[WARMING] for x in self._groups[0]]])  # imports, thread stacks, compilation
        if not (contestant.whole or question.get("whole")):
            limits = question.get("limit", math.inf), question.get("room", math.inf)
            sizing = Sizing(part.groups, part.m, contestant, *limits)
            part = sizing.largest(lambda groups, m: self._cost(question, groups, m))
        self._groups = self._read(question, part.groups, part.m)
        answers, seconds, memory = _measured(lambda: self._call(self._groups))
        share = contestant.growth(part.m) / contestant.growth(question["m"])
        return {
            "m": part.m,
            "groups": part.groups,
            "factor": question["groups"] / part.groups / share,
            "because": part.because,
            "first_seconds": seconds,
            **memory,
            "answer": np.asarray(answers[0], np.float64).tolist(),
            "version": importlib.metadata.version(contestant.package),
        }

    def go(self):
        """Seconds of one call."""
        return wall_seconds(lambda: self._call(self._groups))

    def _read(self, question, n_groups, m):
        """Groups of the first `m` representations; the distinct groups repeat."""
        most = min(n_groups, question["distinct"])
        distinct = [data.read(question["data"], group, range(m)) for group in range(most)]
        if self._contestant.takes == "torch":
            from benchmarks.by_torch import tensors

            distinct = [tensors(group) for group in distinct]
        return [distinct[group % most] for group in range(n_groups)]

    def _cost(self, question, groups, m):
        """Seconds and bytes of a call with a part; of two calls, if they are quick."""
        self._groups = self._read(question, groups, m)
        _, seconds, memory = _measured(lambda: self._call(self._groups))
        if 3 * seconds < question.get(
            "limit", math.inf
        ):  # a first call may have to wait for threads to start
            seconds = min(seconds, self.go())
        return seconds, memory["extra_bytes"] or 0


class Rate:
    """A product of two matrices, with the interface of `Timed`."""

    def __init__(self, name):
        self._product = RATES[name]
        self._multiply = None
        if name.endswith("torch"):
            import torch  # noqa: F401

    def load(self, question):
        """Multiply once, matrices of `extent` rows and columns."""
        self._multiply = self._product(question["extent"])
        self._multiply()
        return {}

    def go(self):
        """Seconds of one product."""
        return wall_seconds(self._multiply)


def _measured(call):
    """The result of a call, its seconds, its peak of memory and how much that is above the start.

    The memory is None if the kernel does not let a process reset its peak. What earlier calls left
    in the heap is returned first, or the call would use it again and seem to need less.
    """
    _trim()
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        before = None
    else:
        before = _status("VmRSS")
    result, seconds = timed(call)
    peak = None if before is None else _status("VmHWM")
    extra = None if before is None else peak - before
    return result, seconds, {"peak_bytes": peak, "extra_bytes": extra}


def _trim():
    """Return free memory of the heap to the operating system, where the C library can."""
    gc.collect()
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _described(error, room):
    """An error in a line; torch uses several for too little memory."""
    text = (str(error).strip() or "no message").splitlines()[0]
    if isinstance(error, MemoryError) or "allocate memory" in text:
        return f"needs more than the {room / 1e9:.1f} GB that it may take"
    return f"{type(error).__name__}: {text}"


def _status(field):
    """A field of /proc/self/status, in bytes."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field))


def main():
    """Answer until the input ends."""
    name, room = sys.argv[1], int(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_DATA, (room, room))
    failure = worker = None
    try:
        worker = Rate(name) if name in RATES else Timed(name)  # it imports: started side by side
    except Exception as error:  # any error of the contestant goes into the table
        failure = {"failed": _described(error, room)}
    for line in sys.stdin:
        answer = failure or _answered(worker, json.loads(line), room)
        print(json.dumps(answer), file=answers, flush=True)


def _answered(worker, question, room):
    """The answer to a question; an error is also one."""
    try:
        if question["do"] == "ready":
            return {}
        return worker.load(question) if question["do"] == "load" else {"seconds": worker.go()}
    except Exception as error:
        return {"failed": _described(error, room)}


if __name__ == "__main__":
    main()
