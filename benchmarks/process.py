"""The suite's side of a contestant's process: one question at a time, with a time limit."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: Seconds before each call, so that the BLAS threads of the previous contestant stop spinning.
PAUSE = 0.2
#: The share of the free memory that one process may take.
SHARE_OF_MEMORY = 0.6
#: They set the threads of NumPy, torch, numba and fastcka.
THREAD_VARIABLES = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"),
)
#: It chooses fastcka's inner loops.
IMPLEMENTATION_VARIABLE = "FASTCKA_IMPLEMENTATION"


class ContestantError(Exception):
    """Why a contestant gave no answer."""


class Process:
    """`benchmarks.worker` for one contestant; a context manager that ends it."""

    def __init__(self, name, *, threads, folder=None, implementation=None):
        self._child = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", name, str(room())],
            cwd=ROOT,
            env=environment(threads, folder, implementation),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches only the suite, which then ends it
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def ask(self, question, patience):
        """The answer to a question; `ContestantError` without one in `patience` seconds."""
        try:
            self._child.stdin.write(json.dumps(question).encode() + b"\n")
            self._child.stdin.flush()
        except OSError:
            raise ContestantError(self._fate()) from None
        ready, _, _ = select.select([self._child.stdout], [], [], patience)
        if not ready:
            self.end()
            raise ContestantError(f"stopped: no answer after {patience:.0f} s")
        line = self._child.stdout.readline()
        if not line:
            raise ContestantError(self._fate())
        answer = json.loads(line)
        if "failed" in answer:
            raise ContestantError(answer["failed"])
        return answer

    def seconds(self, patience, pause=PAUSE):
        """Seconds of one call, started when nothing else is busy."""
        time.sleep(pause)
        return self.ask({"do": "go"}, patience)["seconds"]

    def alive(self):
        """Whether the process can be asked again."""
        return self._child.poll() is None

    def end(self):
        """Kill the process."""
        self._child.kill()
        self._child.wait()
        with suppress(BrokenPipeError):  # it did not read the latest question
            self._child.stdin.close()
        self._child.stdout.close()

    def _fate(self):
        status = self._child.wait()
        return f"the process ended with status {status}" + " (memory?)" * (status == -9)


def environment(threads, folder=None, implementation=None):
    """Environment variables of a contestant: threads, folder of its package, inner loops."""
    folders = [str(ROOT), *([str(folder)] if folder else []), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        **dict.fromkeys(THREAD_VARIABLES, str(threads)),
        **({IMPLEMENTATION_VARIABLE: implementation} if implementation else {}),
        "PYTHONPATH": os.pathsep.join(filter(None, folders)),
        "TQDM_DISABLE": "1",
    }


def room():
    """Bytes that a process may take."""
    with open("/proc/meminfo") as file:
        free = next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))
    return int(SHARE_OF_MEMORY * free)
