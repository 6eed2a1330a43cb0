"""One contestant in a separate process: ``python -m benchmarks.worker NAME BYTES``.

It reads a JSON object from each line and answers with one. BYTES limits the memory of its data.
The output of libraries goes to stderr.

    {"do": "load", "data": path, ...}    reads the arrays and answers with the first result
    {"do": "go"}                         computes it again and answers with the seconds

NAME can also be a rate, which has no result: how fast a library multiplies large matrices.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import resource
import sys

import numpy as np

from benchmarks import data
from benchmarks.clock import timed, wall_seconds
from benchmarks.contestants import BY_NAME
from benchmarks.rates import RATES

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
        limits of one call: `limit` seconds, `room` bytes. A part is fewer groups, or one group of
        fewer representations.
        """
        whole, contestant = question["m"], self._contestant
        n_groups, m = question["groups"], whole
        few = self._read(question, 1, min(2, whole))
        self._call([[x[WARMING] for x in few[0]]])  # imports, thread stacks, compilation
        if not contestant.whole and (n_groups, whole) != (1, 2):
            n_groups, m = self._affordable(few, question)
        self._groups = self._read(question, n_groups, m)
        answers, seconds, memory = _measured(lambda: self._call(self._groups))
        part, everything = contestant.growth(m), contestant.growth(whole)
        return {
            "m": m,
            "groups": n_groups,
            "factor": everything / part * question["groups"] / n_groups,
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

    def _affordable(self, few, question):
        """The affordable numbers of groups and representations, from a call with two."""
        contestant, whole, start = self._contestant, question["m"], len(few[0])
        _, seconds, memory = _measured(lambda: self._call(few))
        if 3 * seconds < question["limit"]:  # a first call may have to wait for threads to start
            seconds = min(seconds, _measured(lambda: self._call(few))[1])
        extra = memory["extra_bytes"] or 0

        def fits(groups, m):
            time = seconds * contestant.growth(m) / contestant.growth(start) * groups
            memory = extra * contestant.memory_growth(m) / contestant.memory_growth(start)
            return time <= question["limit"] and memory <= question["room"]

        for groups in (question["groups"], *(g for g in (50, 10, 3) if g < question["groups"])):
            if fits(groups, whole):
                return groups, whole
        m = whole
        while m > start and not fits(1, m):
            m -= 1
        return 1, m


class Rate:
    """A product of two matrices, with the interface of `Timed`."""

    def __init__(self, name):
        self._multiply = RATES[name]()

    def load(self, _):
        """Multiply once."""
        self._multiply()
        return {}

    def go(self):
        """Seconds of one product."""
        return wall_seconds(self._multiply)


def _measured(call):
    """The result of a call, its seconds, its peak of memory and how much that is above the start.

    The memory is None if the kernel does not let a process reset its peak.
    """
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
    """Answer until the input ends. An error is also an answer."""
    name, room = sys.argv[1], int(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_DATA, (room, room))
    worker = None
    for line in sys.stdin:
        question = json.loads(line)
        try:
            if worker is None:
                worker = Rate(name) if name in RATES else Timed(name)
            answer = worker.load(question) if question["do"] == "load" else {"seconds": worker.go()}
        except Exception as error:  # any error of the contestant goes into the table
            answer = {"failed": _described(error, room)}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
