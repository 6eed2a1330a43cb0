"""Check and measure everything on a GPU, in one run of six minutes, on a machine without network.

Builds and installs this tree (with --build), then runs the parts in the order of what is least
known: the tests on the device, lengths of sums, calls and copies, reading a store, a whole sweep,
small groups, four workloads compared with torch, and compute-sanitizer. Each part is a separate
process with a time limit, so that one that fails or hangs leaves the results of the others. Every
measurement is on disk at once: those of the running part in the folder RECORD.parts, from which the
next run with the same record takes over what a killed run has left. The record ends with the
criteria that are met; the output also compares it with an earlier record, line by line. Without a
usable GPU it prints the reason, writes nothing and exits with 2. It exits with 1 if a criterion is
not met.

    python benchmarks/gpu_check.py [--build [WHEELS]] [--record PATH] [--minutes 6] [--only suite]

WHEELS is a folder of wheels that the machine lacks; if one is of fastcka, nothing is built.
With the path of an earlier record of the same commit and device, it replaces the parts that run.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))  # for a script, Python adds only its folder

from benchmarks.gpu import suite  # noqa: E402
from benchmarks.gpu.differences import FIRST, differences  # noqa: E402
from benchmarks.gpu.install import install, use_installed  # noqa: E402
from benchmarks.gpu.program import TAIL, run_program  # noqa: E402
from benchmarks.gpu.rehearsal import VARIABLE, program, rehearsing  # noqa: E402
from benchmarks.gpu.verdict import FAIL, cost_model, text, verdict  # noqa: E402
from benchmarks.record import GPU_FORMAT, Record, RecordError, read  # noqa: E402

#: Part -> most seconds, in the order in which the parts run. A part also ends with the whole run.
LIMITS = {
    "suite": 100,
    "chains": 40,
    "calls": 20,
    "copies": 30,
    "store": 45,
    "sweep": 60,
    "groups": 15,
    "rates": 15,
    "A": 15,
    "B": 20,
    "C": 45,
    "D": 50,
    "memcheck": 60,
    "racecheck": 60,
}
#: These are in the record under one name.
TOGETHER = {"benchmarks": ("rates", "A", "B", "C", "D"), "sanitizer": suite.TOOLS}
#: Most seconds of every part of a rehearsal.
PATIENCE = 600
#: Seconds for the build, and for the facts of the machine.
BUILDING, ASKING = 120, 120
#: Seconds before the end of a part in which no measurement starts.
LAST_MEASUREMENT = 10
#: What is printed of a part at its end.
PRINTED = ("counts", "failed_tests", "errors", "failed", "stopped", "skipped")


class Check:
    """The parts of one run.

    Parameters
    ----------
    record
        The `Record`.
    until
        When the run ends, on `time.monotonic`.
    """

    def __init__(self, record, until):
        self.record = record
        self._until = until
        self._parts = parts_folder(record.path)

    def run(self, parts):
        """Run the parts, each within its limit and the time that is left; return the verdict."""
        self._parts.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="fastcka-gpu-check-") as scratch:
            for name in parts:
                self._announced(name, scratch)
        lines = verdict(self.record.facts)
        self.record.put("cost_model", cost_model(self.record.facts))
        self.record.put("verdict", lines)
        shutil.rmtree(self._parts)
        return lines

    def _announced(self, name, scratch):
        print(f"\n{name}", flush=True)
        start = time.perf_counter()
        limit = PATIENCE if rehearsing() else LIMITS[name]
        seconds = min(limit, self._until - time.monotonic())
        if seconds < 1:
            measured = {"skipped": f"the time of the run is over; --only {name} measures it"}
        elif name == "suite":
            measured = suite.run_tests(seconds, self._parts / "suite.txt")
        elif name in suite.TOOLS:
            measured = suite.sanitize(name, seconds, self._parts / f"{name}.txt")
        else:
            measured = self._measured(name, seconds, scratch)
        measured["seconds_taken"] = time.perf_counter() - start
        words = [f"{word} {measured[word]}, " for word in PRINTED if word in measured]
        print(f"{name}: {''.join(words)}{measured['seconds_taken']:.0f} s", flush=True)
        if seconds >= 1 or not measured_before(self.record, name):
            put(self.record, name, measured)
        (self._parts / f"{name}.json").unlink(missing_ok=True)

    def _measured(self, name, seconds, scratch):
        """The measurements of a part in a process, also if it was stopped."""
        into = self._parts / f"{name}.json"
        last = max(seconds / 2, seconds - LAST_MEASUREMENT)
        command = program("benchmarks.gpu", name, "--into", into, "--scratch", scratch)
        command += ["--seconds", f"{last:.1f}"]
        status, output = run_program(command, seconds, self._parts / f"{name}.txt")
        print(output, end="", flush=True)
        measured = json.loads(into.read_text("utf-8")) if into.exists() else {}
        if status is None:
            measured["stopped"] = f"after {seconds:.0f} s"
        elif status:
            measured |= {"failed": f"exit {status}", "tail": output[-TAIL:]}
        return measured


def parts_folder(path):
    """The folder of what is measured while a part runs."""
    return Path(f"{path}.parts")


def put(record, name, measured):
    """Put a part where the record has it."""
    for title, members in TOGETHER.items():
        if name in members:
            record.put(title, record.facts.get(title, {}) | {name: measured})
            return
    record.put(name, measured)


def measured_before(record, name):
    """Whether the record has a part."""
    titles = [title for title, members in TOGETHER.items() if name in members]
    return name in (record.facts.get(titles[0], {}) if titles else record.facts)


def take_over(record):
    """Put the measurements of parts during which an earlier run was killed."""
    for path in sorted(parts_folder(record.path).glob("*.json")):
        if path.stem in LIMITS:
            put(record, path.stem, json.loads(path.read_text("utf-8")) | {"stopped": "killed"})
            path.unlink()


def begin_record(facts, path):
    """A new record, or the one at the path if it is of the same commit and device."""
    now = datetime.now(UTC)
    if path is None:
        device = re.sub(r"[^a-z0-9]+", "-", facts["device"].lower()).strip("-")
        commit = facts["commit"] or "unknown"
        path = HERE / "records" / f"{device}-{now:%Y-%m-%d}-{commit}.json"
    path = Path(path).absolute()
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
    take_over(record)
    return record


def facts_of_gpu(commit):
    """The facts of this machine; exits with 2 where no GPU can be used."""
    with tempfile.NamedTemporaryFile() as log:
        status, output = run_program(program("benchmarks.machine"), ASKING, log.name)
    if status != 0:
        print(f"the facts of this machine could not be collected:\n{output}", file=sys.stderr)
        sys.exit(2)
    # Warnings may be printed before and after the facts.
    facts, _ = json.JSONDecoder().raw_decode(output, output.index("{\n"))
    facts["commit"] = facts["commit"] or commit
    if not facts["usable"]:
        print(f"there is no usable GPU: {facts['reason']}", file=sys.stderr)
        sys.exit(2)
    print(f"{facts['device']}, commit {facts['commit']}")
    return facts


def build(wheels):
    """Build and install this tree; exits with 2 if that fails."""
    start = time.perf_counter()
    with tempfile.NamedTemporaryFile() as log:
        built = install(wheels, BUILDING, log.name)
    if "failed" in built:
        print(f"{built['tail']}\n{built['failed']}", file=sys.stderr)
        sys.exit(2)
    use_installed()
    built["seconds_taken"] = time.perf_counter() - start
    print(f"installed in {built['seconds_taken']:.0f} s")
    return built


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", nargs="?", const="", metavar="WHEELS", help="build this tree")
    parser.add_argument("--record", help="default: records/<device>-<date>-<commit>.json")
    parser.add_argument("--against", default=FIRST, help="an earlier record; default: the first")
    parser.add_argument("--minutes", type=float, default=6.0, help="default: 6")
    parser.add_argument("--only", choices=LIMITS, action="append", help="can be repeated")
    parser.add_argument("--commit", help="the commit of a tree that has no .git")
    parser.add_argument(
        "--rehearse", action="store_true", help="tiny sizes on the emulation of CUDA; no figures"
    )
    options = parser.parse_args()
    until = time.monotonic() + 60 * options.minutes - 5
    if options.rehearse:
        os.environ[VARIABLE] = "1"
    if rehearsing() and options.record is None:
        parser.error("--rehearse needs --record: its figures do not belong to the records")
    try:
        earlier = read(options.against, GPU_FORMAT)
        built = None if options.build is None else build(options.build)
        record = begin_record(facts_of_gpu(options.commit), options.record)
    except RecordError as error:
        sys.exit(str(error))
    if built is not None:
        record.put("build", built)
    lines = Check(record, until).run([name for name in LIMITS if name in (options.only or LIMITS)])
    print(f"\nCompared with {options.against}:")
    for line in differences(earlier, record.facts):
        print(line)
    print(f"\n{record.path}")
    for line in lines:
        print(text(line))
    print(f"HOST_BYTES_PER_SECOND of the cost model: {record.facts['cost_model']}")
    return 1 if any(line["result"] == FAIL for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
