"""One contestant in a process of its own: ``python -m benchmarks.worker NAME BYTES``.

It reads one JSON object a line and answers each with one. BYTES are the most that its data may
take. What libraries print goes to stderr.

    {"do": "load", "data": path, ...}    reads the arrays, computes the answer once and gives it
    {"do": "go"}                         computes it again; how long that took

NAME may be that of a rate, which has no answer: how fast a library multiplies large matrices.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import resource
import sys
import time

import numpy as np

from benchmarks import data
from benchmarks.contestants import BY_NAME
from benchmarks.rates import RATES

WARMING = slice(64), slice(8)


class Timed:
    """A contestant with the arrays of a workload, or of as many as it can afford."""

    def __init__(self, name):
        self._contestant = BY_NAME[name]
        self._call = self._contestant.groups()
        self._groups = []

    def load(self, told):
        """Choose the part, read it, compute it: what the parent needs to check it and to weigh it.

        `told` has the file of data, the shape (groups, distinct groups, m), and what one call may
        take: `limit` seconds, `room` bytes. A part is fewer groups, or one group of fewer
        representations.
        """
        whole, contestant = told["m"], self._contestant
        n_groups, m = told["groups"], whole
        few = self._read(told, 1, min(2, whole))
        self._call([[x[WARMING] for x in few[0]]])  # imports, thread stacks, compilation
        if not contestant.whole and (n_groups, whole) != (1, 2):
            n_groups, m = self._affordable(few, told)
        self._groups = self._read(told, n_groups, m)
        answers, seconds, memory = _measured(lambda: self._call(self._groups))
        one, all_of_them = contestant.growth(m), contestant.growth(whole)
        return {
            "m": m,
            "groups": n_groups,
            "factor": all_of_them / one * told["groups"] / n_groups,
            "first_seconds": seconds,
            **memory,
            "answer": np.asarray(answers[0], np.float64).tolist(),
            "version": importlib.metadata.version(contestant.package),
        }

    def go(self):
        """Seconds of one call."""
        start = time.perf_counter()
        self._call(self._groups)
        return time.perf_counter() - start

    def _read(self, told, n_groups, m):
        """Groups of the first `m` representations; groups come again after the distinct ones."""
        most = min(n_groups, told["distinct"])
        distinct = [data.read(told["data"], group, range(m)) for group in range(most)]
        if self._contestant.takes == "torch":
            from benchmarks.by_torch import tensors

            distinct = [tensors(group) for group in distinct]
        return [distinct[at % most] for at in range(n_groups)]

    def _affordable(self, few, told):
        """How many groups of how many representations, from a call with two."""
        contestant, whole, start = self._contestant, told["m"], len(few[0])
        _, seconds, memory = _measured(lambda: self._call(few))
        if 3 * seconds < told["limit"]:  # a first call may have to wait for threads to start
            seconds = min(seconds, _measured(lambda: self._call(few))[1])
        extra = memory["extra_bytes"] or 0

        def fits(groups, m):
            time_of_it = seconds * contestant.growth(m) / contestant.growth(start) * groups
            bytes_of_it = extra * contestant.memory_growth(m) / contestant.memory_growth(start)
            return time_of_it <= told["limit"] and bytes_of_it <= told["room"]

        for groups in (told["groups"], *(g for g in (50, 10, 3) if g < told["groups"])):
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
        start = time.perf_counter()
        self._multiply()
        return time.perf_counter() - start


def _measured(call):
    """What `call` gives, its seconds, and its memory: the peak, and what it adds to what was there.

    None where the kernel does not let a process reset its peak.
    """
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        before = None
    else:
        before = _status("VmRSS")
    start = time.perf_counter()
    found = call()
    seconds = time.perf_counter() - start
    peak = None if before is None else _status("VmHWM")
    extra = None if before is None else peak - before
    return found, seconds, {"peak_bytes": peak, "extra_bytes": extra}


def _told(error, room):
    """An error in a line. What torch says of too little memory is long."""
    text = (str(error).strip() or "no message").splitlines()[0]
    if isinstance(error, MemoryError) or "allocate memory" in text:
        return f"needs more than the {room / 1e9:.1f} GB that it may take"
    return f"{type(error).__name__}: {text}"


def _status(field):
    """A figure of /proc/self/status, in bytes."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field))


def main():
    """Answer until the input ends. An error is an answer, too."""
    name, room = sys.argv[1], int(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_DATA, (room, room))
    worker = None
    for line in sys.stdin:
        told = json.loads(line)
        try:
            if worker is None:
                worker = Rate(name) if name in RATES else Timed(name)
            answer = worker.load(told) if told["do"] == "load" else {"seconds": worker.go()}
        except Exception as error:  # the contestant's own, whatever it is: it stands in the table
            answer = {"failed": _told(error, room)}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
