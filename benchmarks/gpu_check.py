"""Everything there is to check and measure on a GPU, in one run of under eight minutes.

The test suite on the device, compute-sanitizer on a small case, and the benchmarks, each in a
process of its own with a limit in time, so that one that fails or hangs leaves the others'
results. All goes into one record, which is written after every part; its last part says which
criteria are met. Needs no network. Without a usable GPU it says why, writes nothing and exits with
2; with 1 if a criterion is not met.

    python benchmarks/gpu_check.py [--record PATH] [--minutes 8] [--only suite]

Given the path of an earlier record of the same commit and device, it replaces the parts that run.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))  # a script finds but what lies beside it

from benchmarks.gpu.record import Record  # noqa: E402
from benchmarks.gpu.verdict import FAIL, text, verdict  # noqa: E402

PARTS = ("suite", "sanitizer", "benchmarks")
TAIL = 6000
#: Parts of the time that is left which a part may take; what it does not use goes to the next.
SHARES = {"suite": 0.4, "memcheck": 0.3, "racecheck": 0.2}
#: Of what is left then, by weight. D's data alone are 9.8 GB.
CASE_WEIGHTS = {"rates": 1, "A": 2, "B": 2, "C": 4, "D": 4}
#: A case begins nothing new so long before its end.
LAST_MEASUREMENT = 20
#: What is printed of a part at its end.
TOLD = ("counts", "failed_tests", "errors", "failed", "stopped", "skipped")
#: Without these modules, tests of other packages than the core could not even be collected.
SUITE_NEEDS = {"pydantic", "typer", "rich", "h5py", "yaml", "regex"}
OUTCOMES = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")
_TEST = re.compile(r"^(\S+?::.+?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b")
_SUMMARY = {
    "memcheck": re.compile(r"ERROR SUMMARY: (\d+) errors?"),
    "racecheck": re.compile(r"RACECHECK SUMMARY: (\d+) hazards?"),
}
#: The results of calls are checked where they are made, and asking for an event that is not done is
#: no error. Within cuBLAS there is nothing to find, and much to wait for.
_SANITIZER_OPTIONS = {
    "memcheck": ["--report-api-errors", "no"],
    "racecheck": ["--kernel-name", "kns=fastcka"],
}


def run_program(command, seconds, *, environment=None):
    """Exit status (None if it was stopped) and output of a program that may take so long."""
    with tempfile.TemporaryFile("w+", errors="replace") as file:
        program = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
            start_new_session=True,
        )
        try:
            status = program.wait(seconds)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            if program.poll() is None:
                os.killpg(program.pid, signal.SIGKILL)  # with the processes that it started
                program.wait()
        file.seek(0)
        return status, file.read()


def suite(seconds, missing):
    """The tests that are marked for a GPU: numbers by outcome, and those that failed."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "--device", "cuda", "-vv"]
    command += ["--color=no", "--tb=short", "--continue-on-collection-errors"]
    without = sorted(SUITE_NEEDS & set(missing))
    if without:
        command += ["tests/core", "tests/cuda"]
    status, told = run_program(command, seconds)
    found = test_outcomes(told) | {"exit": status, "command": command[1:]}
    if without:
        found["left_out"] = f"tests of other packages than the core: no {', '.join(without)}"
    if status is None:
        found["stopped"] = f"after {seconds:.0f} s"
    if status != 0:
        found["tail"] = told[-TAIL:]
    return found


def test_outcomes(told):
    """Counts and failures from what ``pytest -vv`` printed, finished or not."""
    words = {"XFAIL": "xfailed", "XPASS": "xpassed"}
    found = [match.groups() for line in told.splitlines() if (match := _TEST.match(line))]
    counted = Counter(words.get(word, word.lower()) for _, word in found)
    # Errors of collection have no line of their own.
    counted["error"] += len(re.findall(r"^_+ ERROR collecting ", told, re.M))
    return {
        "counts": {name: counted[name] for name in OUTCOMES if counted[name]},
        "failed_tests": [name for name, word in found if word in ("FAILED", "ERROR")],
    }


def find_sanitizer():
    """The path of compute-sanitizer, from PATH, beside nvcc or in the toolkit; None without."""
    nvcc = shutil.which("nvcc")
    folders = [Path(nvcc).resolve().parent] if nvcc else []
    folders += [Path(os.environ.get("CUDA_HOME", "/usr/local/cuda")) / "bin"]
    return shutil.which("compute-sanitizer") or next(
        (found for folder in folders if (found := shutil.which("compute-sanitizer", path=folder))),
        None,
    )


def sanitize(tool, seconds):
    """The number of errors (or hazards) that compute-sanitizer finds in the small case."""
    program = find_sanitizer()
    if program is None:
        return {"skipped": "compute-sanitizer is neither on PATH nor in the CUDA toolkit"}
    options = ["--tool", tool, "--target-processes", "all", *_SANITIZER_OPTIONS[tool]]
    case = [sys.executable, "-m", "benchmarks.gpu.small_case"]
    status, told = run_program([program, *options, *case], seconds)
    return sanitizer_errors(tool, status, told, seconds) | {"options": options}


def sanitizer_errors(tool, status, told, seconds):
    counts = [int(count) for count in _SUMMARY[tool].findall(told)]
    if status is None:
        return {"stopped": f"after {seconds:.0f} s", "tail": told[-TAIL:]}
    if not counts:
        return {"failed": f"no summary, exit {status}", "tail": told[-TAIL:]}
    found = {"errors": sum(counts), "exit": status}
    return found | ({"tail": told[-TAIL:]} if sum(counts) or status else {})


def benchmark(name, seconds):
    """One case (see gpu/benchmark.py), with all that was measured if it was stopped."""
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder) / "measured.json"
        command = [sys.executable, "-m", "benchmarks.gpu.benchmark", "--case", name]
        command += ["--into", str(into), "--seconds", str(max(0.0, seconds - LAST_MEASUREMENT))]
        status, told = run_program(command, seconds)
        print(told, end="", flush=True)
        found = json.loads(into.read_text("utf-8")) if into.exists() else {}
    if status is None:
        found["stopped"] = f"after {seconds:.0f} s"
    elif status:
        found |= {"failed": f"exit {status}", "tail": told[-TAIL:]}
    return found


def begin_record(facts, path):
    """The record for what is measured now: a new one, or the one at the path, if it fits."""
    now = datetime.now(UTC)
    if path is None:
        device = re.sub(r"[^a-z0-9]+", "-", facts["device"].lower()).strip("-")
        commit = (facts["commit"] or "unknown")[:10]
        path = HERE / "records" / f"{device}-{now:%Y-%m-%d}-{commit}.json"
    path = Path(path)
    own = {"commit": facts["commit"], "device": facts["device"]}
    earlier = json.loads(path.read_text("utf-8")) if path.exists() else {}
    if earlier and {name: earlier.get(name) for name in own} != own:
        sys.exit(
            f"{path} is of {earlier.get('device')} and commit {earlier.get('commit')}: give "
            f"another --record for {own['device']} and commit {own['commit']}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    record = Record(path, earlier)
    record.put("format", "fastcka.gpu_check 1")
    record.put("date", f"{now:%Y-%m-%dT%H:%M:%SZ}")
    for name, value in {**own, "dirty": facts["dirty"], "facts": facts}.items():
        record.put(name, value)
    return record


def check(record, parts, until, missing):
    """Run the parts, each within its share of the time until then."""

    def left(share=1.0):
        return max(1.0, (until - time.monotonic()) * share)

    def timed(name, call, *arguments):
        print(f"\n{name}", flush=True)
        start = time.perf_counter()
        found = call(*arguments) | {"seconds_taken": time.perf_counter() - start}
        told = [f"{word} {found[word]}, " for word in TOLD if word in found]
        print(f"{name}: {''.join(told)}{found['seconds_taken']:.0f} s", flush=True)
        return found

    if "suite" in parts:
        share = SHARES["suite"] if len(parts) > 1 else 1.0
        record.put("suite", timed("suite", suite, left(share), missing))
    if "sanitizer" in parts:
        found = {}
        for tool in _SUMMARY:
            share = SHARES[tool] if "benchmarks" in parts else 0.5
            found[tool] = timed(tool, sanitize, tool, left(share))
            record.put("sanitizer", dict(found))
    if "benchmarks" in parts:
        found, weights = {}, dict(CASE_WEIGHTS)
        for name, weight in CASE_WEIGHTS.items():
            seconds = left(weight / sum(weights.values()))
            del weights[name]
            found[name] = timed(f"benchmark {name}", benchmark, name, seconds)
            record.put("benchmarks", dict(found))
    lines = verdict(record.facts)
    record.put("verdict", lines)
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", help="default: records/<device>-<date>-<commit>.json")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--only", choices=PARTS, action="append", help="may be given repeatedly")
    parser.add_argument("--commit", help="of a tree that has no .git")
    options = parser.parse_args()
    until = time.monotonic() + 60 * options.minutes - 10
    status, told = run_program([sys.executable, "-m", "benchmarks.gpu.facts"], 120)
    if status != 0:
        print(f"the facts of this machine could not be collected:\n{told}", file=sys.stderr)
        return 2
    facts, _ = json.JSONDecoder().raw_decode(told, told.index("{\n"))  # warnings stand around it
    facts["commit"] = facts["commit"] or options.commit
    if not facts["usable"]:
        print(f"there is no usable GPU: {facts['reason']}", file=sys.stderr)
        return 2
    print(f"{facts['device']}, commit {facts['commit']}{' with changes' * bool(facts['dirty'])}")
    for name, what in facts["missing"].items():
        print(f"{name} is not installed; it is needed for {what}")
    record = begin_record(facts, options.record)
    lines = check(record, options.only or PARTS, until, facts["missing"])
    print(f"\n{record.path}")
    for line in lines:
        print(text(line))
    return 1 if any(line["result"] == FAIL for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
