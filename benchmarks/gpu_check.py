"""Check and measure everything on a GPU, in one run of under eight minutes.

Runs the tests on the device, compute-sanitizer on a small workload, and the benchmarks. Each part
is a separate process with a time limit, so that one that fails or hangs leaves the results of the
others. The record is written after every part, and ends with the criteria that are met. Needs no
network. Without a usable GPU it prints the reason, writes nothing and exits with 2. It exits with 1
if a criterion is not met.

    python benchmarks/gpu_check.py [--record PATH] [--minutes 8] [--only suite]

With the path of an earlier record of the same commit and device, it replaces the parts that run.
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
sys.path.insert(0, str(ROOT))  # for a script, Python adds only its folder

from benchmarks.gpu.verdict import FAIL, text, verdict  # noqa: E402
from benchmarks.record import GPU_FORMAT, Record, RecordError, read  # noqa: E402

PARTS = ("suite", "sanitizer", "benchmarks")
#: Characters of a failed program's output that the record keeps.
TAIL = 6000
#: The share of the remaining time that a part may take; the next parts get what it does not use.
SHARES = {"suite": 0.4, "memcheck": 0.3, "racecheck": 0.2}
#: The benchmarks share the rest by these weights. D's data alone take 9.8 GB.
WEIGHTS = {"rates": 1, "A": 2, "B": 2, "C": 4, "D": 4}
#: Seconds before the end of a workload's time in which no measurement starts.
LAST_MEASUREMENT = 20
#: What is printed of a part at its end.
PRINTED = ("counts", "failed_tests", "errors", "failed", "stopped", "skipped")
OUTCOMES = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")
_TEST = re.compile(r"^(\S+?::.+?) (PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b")
_SUMMARY = {
    "memcheck": re.compile(r"ERROR SUMMARY: (\d+) errors?"),
    "racecheck": re.compile(r"RACECHECK SUMMARY: (\d+) hazards?"),
}
#: fastcka checks the results of its calls, and a query for an event that is not done is no error.
#: Within cuBLAS there is nothing to find, and much to wait for.
_SANITIZER_OPTIONS = {
    "memcheck": ["--report-api-errors", "no"],
    "racecheck": ["--kernel-name", "kns=fastcka"],
}


def run_program(command, seconds):
    """Exit status (None if it was stopped after `seconds`) and output of a program."""
    with tempfile.TemporaryFile("w+", errors="replace") as file:
        program = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
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


def run_tests(seconds):
    """The tests that are marked for a GPU: numbers by outcome, and those that failed."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "--device", "cuda", "-vv"]
    command += ["--color=no", "--tb=short", "--continue-on-collection-errors"]
    status, output = run_program(command, seconds)
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


def sanitize(tool, seconds):
    """The number of errors (or hazards) that compute-sanitizer finds in the small workload."""
    program = find_sanitizer()
    if program is None:
        return {"skipped": "compute-sanitizer is neither on PATH nor in the CUDA toolkit"}
    options = ["--tool", tool, "--target-processes", "all", *_SANITIZER_OPTIONS[tool]]
    workload = [sys.executable, "-m", "benchmarks.gpu.sanitized"]
    status, output = run_program([program, *options, *workload], seconds)
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


def benchmark(name, seconds):
    """The measurements of one workload (see gpu/race.py), also if it was stopped."""
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder) / "measured.json"
        command = [sys.executable, "-m", "benchmarks.gpu.race", "--workload", name]
        command += ["--into", str(into), "--seconds", str(max(0.0, seconds - LAST_MEASUREMENT))]
        status, output = run_program(command, seconds)
        print(output, end="", flush=True)
        measured = json.loads(into.read_text("utf-8")) if into.exists() else {}
    if status is None:
        measured["stopped"] = f"after {seconds:.0f} s"
    elif status:
        measured |= {"failed": f"exit {status}", "tail": output[-TAIL:]}
    return measured


def begin_record(facts, path):
    """A new record, or the one at the path if it is of the same commit and device."""
    now = datetime.now(UTC)
    if path is None:
        device = re.sub(r"[^a-z0-9]+", "-", facts["device"].lower()).strip("-")
        commit = facts["commit"] or "unknown"
        path = HERE / "records" / f"{device}-{now:%Y-%m-%d}-{commit}.json"
    path = Path(path)
    key = {"commit": facts["commit"], "device": facts["device"]}
    earlier = read(path, GPU_FORMAT) if path.exists() else {}
    if earlier and {name: earlier.get(name) for name in key} != key:
        raise RecordError(
            f"{path} is of {earlier.get('device')} and commit {earlier.get('commit')}: give "
            f"another --record for {key['device']} and commit {key['commit']}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    date = f"{now:%Y-%m-%dT%H:%M:%SZ}"
    record = Record(path, earlier | {"format": GPU_FORMAT, "date": date, **key, "facts": facts})
    record.write()
    return record


def check(record, parts, until):
    """Run the parts, each within its share of the time that is left."""

    def left(share=1.0):
        return max(1.0, (until - time.monotonic()) * share)

    def announced(name, call, *arguments):
        print(f"\n{name}", flush=True)
        start = time.perf_counter()
        measured = call(*arguments) | {"seconds_taken": time.perf_counter() - start}
        words = [f"{word} {measured[word]}, " for word in PRINTED if word in measured]
        print(f"{name}: {''.join(words)}{measured['seconds_taken']:.0f} s", flush=True)
        return measured

    if "suite" in parts:
        share = SHARES["suite"] if len(parts) > 1 else 1.0
        record.put("suite", announced("suite", run_tests, left(share)))
    if "sanitizer" in parts:
        by_tool = {}
        for tool in _SUMMARY:
            share = SHARES[tool] if "benchmarks" in parts else 0.5
            by_tool[tool] = announced(tool, sanitize, tool, left(share))
            record.put("sanitizer", by_tool)
    if "benchmarks" in parts:
        by_workload, weights = {}, dict(WEIGHTS)
        for name, weight in WEIGHTS.items():
            seconds = left(weight / sum(weights.values()))
            del weights[name]
            by_workload[name] = announced(f"benchmark {name}", benchmark, name, seconds)
            record.put("benchmarks", by_workload)
    lines = verdict(record.facts)
    record.put("verdict", lines)
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", help="default: records/<device>-<date>-<commit>.json")
    parser.add_argument("--minutes", type=float, default=8.0, help="default: 8")
    parser.add_argument("--only", choices=PARTS, action="append", help="can be repeated")
    parser.add_argument("--commit", help="the commit of a tree that has no .git")
    options = parser.parse_args()
    until = time.monotonic() + 60 * options.minutes - 10
    status, output = run_program([sys.executable, "-m", "benchmarks.machine"], 120)
    if status != 0:
        print(f"the facts of this machine could not be collected:\n{output}", file=sys.stderr)
        return 2
    # Warnings may be printed before and after the facts.
    facts, _ = json.JSONDecoder().raw_decode(output, output.index("{\n"))
    facts["commit"] = facts["commit"] or options.commit
    if not facts["usable"]:
        print(f"there is no usable GPU: {facts['reason']}", file=sys.stderr)
        return 2
    print(f"{facts['device']}, commit {facts['commit']}")
    try:
        record = begin_record(facts, options.record)
    except RecordError as error:
        sys.exit(str(error))
    lines = check(record, options.only or PARTS, until)
    print(f"\n{record.path}")
    for line in lines:
        print(text(line))
    return 1 if any(line["result"] == FAIL for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
