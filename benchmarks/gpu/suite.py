"""The tests on the device, and compute-sanitizer on a small workload."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections import Counter
from pathlib import Path

from benchmarks.gpu.program import TAIL, run_program
from benchmarks.gpu.rehearsal import program, rehearsing

OUTCOMES = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")
#: Folders of the tests that can run on a GPU, and for a rehearsal a file with a few of them.
FOLDERS, FEW_TESTS = ("tests/core", "tests/cuda"), ("tests/core/test_null.py",)
_TEST = re.compile(r"^(\S+?::.+?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b")
_SUMMARY = {
    "memcheck": re.compile(r"ERROR SUMMARY: (\d+) errors?"),
    "racecheck": re.compile(r"RACECHECK SUMMARY: (\d+) hazards?"),
}
TOOLS = tuple(_SUMMARY)
#: fastcka checks the results of its calls, and a query for an event that is not done is no error.
#: Within cuBLAS there is nothing to find, and much to wait for.
_SANITIZER_OPTIONS = {
    "memcheck": ["--report-api-errors", "no"],
    "racecheck": ["--kernel-name", "kns=fastcka"],
}


def run_tests(seconds, log):
    """The tests that are marked for a GPU: numbers by outcome, and those that failed."""
    device = "emulated" if rehearsing() else "cuda"
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "--device", device, "-vv"]
    command += ["--color=no", "--tb=short", "--continue-on-collection-errors"]
    command += FEW_TESTS if rehearsing() else FOLDERS
    status, output = run_program(command, seconds, log)
    measured = test_outcomes(output) | {"exit": status, "command": command[1:]}
    if status is None:
        measured["stopped"] = f"after {seconds:.0f} s"
    elif not measured["counts"]:
        measured["failed"] = f"no test ran, exit {status}"
    if status != 0:
        measured["tail"] = output[-TAIL:]
    return measured


def test_outcomes(output):
    """Counts and failures from the output of ``pytest -vv``, finished or not."""
    words = {"XFAIL": "xfailed", "XPASS": "xpassed"}
    tests = [match.groups() for line in output.splitlines() if (match := _TEST.match(line))]
    counted = Counter(words.get(word, word.lower()) for _, word in tests)
    # Errors of collection have no separate line.
    counted["error"] += len(re.findall(r"^_+ ERROR collecting ", output, re.M))
    return {
        "counts": {name: counted[name] for name in OUTCOMES if counted[name]},
        "failed_tests": [name for name, word in tests if word in ("FAILED", "ERROR")],
    }


def find_sanitizer():
    """The path of compute-sanitizer, on PATH, next to nvcc or in the toolkit; None without."""
    nvcc = shutil.which("nvcc")
    folders = [None, *([Path(nvcc).resolve().parent] if nvcc else [])]
    folders += [Path(os.environ.get("CUDA_HOME", "/usr/local/cuda")) / "bin"]
    paths = (shutil.which("compute-sanitizer", path=folder) for folder in folders)
    return next(filter(None, paths), None)


def sanitize(tool, seconds, log):
    """The number of errors (or hazards) that compute-sanitizer finds in the small workload."""
    sanitizer = find_sanitizer()
    if sanitizer is None:
        return {"skipped": "compute-sanitizer is neither on PATH nor in the CUDA toolkit"}
    options = ["--tool", tool, "--target-processes", "all", *_SANITIZER_OPTIONS[tool]]
    workload = program("benchmarks.gpu.sanitized")
    status, output = run_program([sanitizer, *options, *workload], seconds, log)
    return sanitizer_errors(tool, status, output, seconds) | {"options": options}


def sanitizer_errors(tool, status, output, seconds):
    """The number of errors in the sanitizer's output, or why there is none."""
    counts = [int(count) for count in _SUMMARY[tool].findall(output)]
    if status is None:
        return {"stopped": f"after {seconds:.0f} s", "tail": output[-TAIL:]}
    if not counts:
        return {"failed": f"no summary, exit {status}", "tail": output[-TAIL:]}
    measured = {"errors": sum(counts), "exit": status}
    return measured | ({"tail": output[-TAIL:]} if sum(counts) or status else {})
