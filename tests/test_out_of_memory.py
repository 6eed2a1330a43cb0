"""Without enough memory, a call raises a named error or returns the right answer.

Each child process limits its address space, as ``ulimit -v`` does, and makes public calls.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

import memory_calls
from fastcka.errors import (
    CorruptFileError,
    DeviceError,
    MissingExtraError,
    OutOfMemoryError,
)
from fastcka.out_of_memory import named_shortage
from fastcka.store.hdf5 import safety as hdf5_safety

pytest.importorskip("torch")
pytest.importorskip("safetensors")

EXTRAS = (0, 1, 8, 24, 40, 400)
CALLS = {
    "core": ["compare", "compare_integers", "compare_many"],
    "store": ["store_read", "store_write", "import_tree"],
    "files": ["x.npy", "x.npz:x", "x.h5:/x", "x.h5:/zipped"],
    "sweep": ["run_sweep", "run_pair", "run_pair_rbf", "write_report"],
    "torch": ["x.pt", "x.safetensors:x", "x.safetensors:half", "load_state", "load_safetensors"],
    "capture": ["capture"],
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calls")
    memory_calls.make_files(folder)
    return folder


@pytest.mark.parametrize("kind", CALLS)
def test_a_named_error_or_the_right_answer(files, kind):
    names = CALLS[kind]
    done = subprocess.run(
        [sys.executable, memory_calls.__file__, files, ",".join(map(str, EXTRAS)), *names],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(outcomes) == len(names) * len(EXTRAS)
    # Some calls find enough memory, which an earlier call freed.
    assert sum(outcome != "right" for *_, outcome in outcomes) >= len(names)
    for name, extra, outcome in outcomes:
        if extra == EXTRAS[-1]:
            assert outcome == "right", name
        if outcome != "right":
            error, message = outcome
            assert error == "OutOfMemoryError", (name, extra, outcome)
            assert "are needed" in message or "are free" in message, (name, extra, outcome)
            assert "\n" not in message


LIMITED = """
import sys
from fastcka.cli import main
from memory_calls import limit
limit(int(sys.argv.pop(1)))
main()
"""


@pytest.mark.parametrize("extra", [0, 2, 8, 24, 40, 60, 400])
@pytest.mark.parametrize("command", ["cka", "run", "plan"])
def test_the_command_line(files, tmp_path, command, extra):
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(f"store: {files}/store\noutput: out\ncompare: {{within: [layer]}}\n")
    arguments = [sweep] if command != "cka" else [f"{files}/x.npy", f"{files}/x.npz:x"]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(extra), command, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "2", "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    if extra == 400:
        assert done.returncode == 0, done.stderr
    if extra == 0:
        assert done.returncode == 1
    if done.returncode:
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert "Traceback" not in done.stderr
        assert "not enough memory" in done.stderr or "are free" in done.stderr
    else:
        lines = done.stderr.splitlines()
        # On a busy machine, the command predicts a long p-value and says so.
        assert [line for line in lines if "--no-p-value" not in line] == []
        assert {"cka": "1.000000", "run": "results.csv", "plan": "members"}[command] in done.stdout


LOST = """
import sys
from fastcka.out_of_memory import named_shortage
from memory_calls import limit
text, extra = sys.argv[1:]
limit(int(extra))
try:
    with named_shortage("working"):
        raise SystemError(text)
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    "text",
    [
        "error return without exception set",
        "<method 'get' of 'dict' objects> returned NULL without setting an exception",
    ],
)
def test_the_interpreter_loses_a_memory_error(text):
    def outcome(extra):
        done = subprocess.run(
            [sys.executable, "-c", LOST, text, str(extra)],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
        )
        return done.stdout

    assert outcome(1).startswith(f"OutOfMemoryError working: not enough memory ({text})")
    assert outcome(400) == f"SystemError {text}\n"


def test_a_damaged_size_is_not_a_lack_of_memory(tmp_path):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.zeros(10)
    with (
        pytest.raises(CorruptFileError, match="damaged"),
        hdf5_safety.named_errors(path, "/x"),
    ):
        np.empty(1 << 60, np.uint8)  # no file has this size


def failing(error):
    with named_shortage("working"):
        raise error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        MemoryError("std::bad_alloc"),
        OSError(12, "Cannot allocate memory"),
        RuntimeError("can't start new thread"),
        RuntimeError("could not start 8 threads (Resource temporarily unavailable); ask for fewer"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"
        ),
        RuntimeError("unable to mmap 16778559 bytes from file <x.pt>: Cannot allocate memory (12)"),
        ImportError("libx.so: failed to map segment from shared object"),
    ],
    ids=str,
)
def test_every_kind_of_shortage(error):
    with pytest.raises(
        OutOfMemoryError, match=r"working: not enough memory.* are free now"
    ) as raised:
        failing(error)
    assert raised.value.__cause__.__traceback__ is None  # its frames would keep arrays


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        RuntimeError("no"),
        ImportError("no"),
        ValueError("x"),
    ],
    ids=str,
)
def test_other_errors_are_kept(error):
    with pytest.raises(type(error)) as raised:
        failing(error)
    assert raised.value is error


def test_the_error_of_a_device_is_kept():
    with pytest.raises(DeviceError, match="cuda:0"):
        failing(DeviceError("cuda:0: out of memory"))
    with pytest.raises(OutOfMemoryError) as raised:
        failing(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."))
    assert "are free" not in str(raised.value)  # memory of the host, which is not short


def test_a_library_without_memory_is_not_reported_as_missing():
    error = MissingExtraError.of("drawing", "matplotlib", "report")
    error.__cause__ = ImportError("ft2font.so: failed to map segment from shared object")
    with pytest.raises(OutOfMemoryError, match=r"ft2font\.so"):
        failing(error)
    missing = MissingExtraError.of("drawing", "matplotlib", "report")
    missing.__cause__ = ModuleNotFoundError("No module named 'matplotlib'")
    with pytest.raises(MissingExtraError):
        failing(missing)
