"""Programs with a time limit, whose output is on disk while they run."""

from __future__ import annotations

import os
import signal
import subprocess

from benchmarks.process import ROOT

#: Characters of a failed program's output that the record keeps.
TAIL = 6000


def run_program(command, seconds, log, **environment):
    """Exit status (None if it was stopped after `seconds`) and output of a program.

    The output is written to the file `log`, so it remains if this process is killed.
    """
    with open(log, "w+", encoding="utf-8", errors="replace") as file:
        child = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            start_new_session=True,
        )
        try:
            status = child.wait(seconds)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)  # with the processes that it started
                child.wait()
        file.seek(0)
        return status, file.read()
