"""Any number of threads gives the same bits; threads can be interrupted and report progress."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import fastcka
from fastcka.core.backend import resolve_threads
from fastcka.errors import InputError
from samples import related

SHAPES = [
    (4, (3, 5)),
    (17, (9,)),
    (100, (10, 200, 33)),
    (500, (1, 2, 3)),
    (1000, (64, 64, 64, 64)),
    (1500, (16,) * 24),
    (3000, (7, 40)),
    (333, (300, 301)),
    (640, (128,) * 9),
    (2048, (50, 3, 90)),
    (97, (1000, 2000)),
    (1111, (111,) * 3),
    (5000, (8, 8)),
    (800, (400,)),
    (720, (33,) * 30),
    (1025, (5, 260)),
    (257, (257,) * 7),
    (2500, (31, 65, 17)),
    (48, (48,) * 48),
    (4100, (20,) * 5),
]


@pytest.mark.parametrize(("n", "widths"), SHAPES, ids=str)
@pytest.mark.parametrize("precision", ["high", "float64"])
def test_same_bits_for_any_number_of_threads(rng, monkeypatch, n, widths, precision):
    monkeypatch.setattr("fastcka.core.plan.SERIAL_FLOPS", 0)
    xs = related(rng, n, widths)
    digests = set()
    for threads in (1, 2, 3, 4, 8, 16):
        result = fastcka.compare(xs, threads=threads, precision=precision)
        assert result.provenance["threads"] == threads
        values = (result.hsic_biased, result.hsic_unbiased, result.biased, result.unbiased)
        digests.add(hashlib.sha256(b"".join(value.tobytes() for value in values)).hexdigest())
    assert len(digests) == 1


def test_threads_from_the_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3,2")
    assert resolve_threads() == (3, "OMP_NUM_THREADS")
    assert resolve_threads(5) == (5, "argument")
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    with pytest.raises(InputError, match="OMP_NUM_THREADS must be a positive"):
        resolve_threads()
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert resolve_threads() == (len(os.sched_getaffinity(0)), "affinity")


def test_threads_where_the_system_has_no_affinity(monkeypatch):
    """As on macOS."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 11)
    assert resolve_threads() == (11, "the processors of the machine")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert resolve_threads()[0] == 1


@pytest.mark.parametrize("threads", [0, -1, 2.0, True, "2"])
def test_wrong_thread_counts_are_refused(threads):
    with pytest.raises(InputError, match="threads must be a positive integer"):
        fastcka.cka(np.eye(5), np.eye(5), threads=threads)


LONG = """
    import sys, numpy as np, fastcka
    from fastcka import _core
    from fastcka.core import Flight, compare_many
    def report(frame, event, function):
        if function is _core.run:
            print(event, flush=True)
    sys.setprofile(report)
    x = np.random.default_rng(0).standard_normal(({shape}), dtype=np.float32)
    {call}
"""
CALLS = {
    "a pass": ("12000, 600", "fastcka.compare([x + i for i in range(40)], threads=2)"),
    "a flight": (
        "9, 500, 256",
        "list(compare_many([Flight([list(x)] * 4000)], device='cpu', threads=2))",
    ),
}


@pytest.mark.parametrize(("shape", "call"), CALLS.values(), ids=CALLS)
def test_an_interrupt_ends_the_computation(shape, call):
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(LONG).format(shape=shape, call=call)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts background jobs with SIGINT ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout.readline() == "c_call\n"
        time.sleep(0.7)  # the computation takes more than ten seconds
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert output == "c_exception\n"  # a computation that is finished prints c_return
    assert "KeyboardInterrupt" in errors


def test_progress_is_reported_and_can_stop_the_pass():
    x = np.random.default_rng(0).standard_normal((6000, 300), dtype=np.float32)
    calls = []
    fastcka.compare([x, x + 1, x * 2, x - 1] * 3, progress=lambda *call: calls.append(call))
    assert calls
    totals = {total for _, total in calls}
    assert len(totals) == 1
    done = [done for done, _ in calls]
    assert done == sorted(done)
    assert done[-1] == totals.pop()

    def stop(done, total):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        fastcka.compare([x, x + 1, x * 2, x - 1] * 3, progress=stop)


def test_works_in_a_forked_child():
    code = """
        import os, numpy as np, fastcka
        x = np.random.default_rng(0).standard_normal((800, 64))
        before = fastcka.cka(x, x**3, threads=4)
        pid = os.fork()
        if pid == 0:
            os._exit(0 if fastcka.cka(x, x**3, threads=4) == before else 1)
        sys_exit = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        raise SystemExit(sys_exit)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=60)
