"""Read mutated files in child processes with limits of time and memory; print what went wrong.

    python tests/fuzz/fuzz_readers.py --seconds 60 [--reader pt] [--first 0]

Columns: files read; refused by a named error; exceptions that are not named; files that took longer
than ten seconds; children that died; the slowest answer; the largest memory above the start.
"""

from __future__ import annotations

import argparse
import resource
import select
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from fuzz.readers import READERS, outcome

LIMIT_SECONDS = 10
LIMIT_BYTES = 2 << 30


def _status(field: str) -> int:
    """Return a size in bytes from /proc/self/status."""
    text = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(text.partition(f"{field}:")[2].split(maxsplit=1)[0]) * 1024


def child(name: str, first: int) -> None:
    """Read one file after the other; print a line for each."""
    from fastcka.errors import FastckaError

    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        for number in range(3):  # what is imported does not count
            outcome(name, number, Path(folder))
        allowed = _status("VmSize") + LIMIT_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))
        number = first
        while True:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
            before, start = _status("VmRSS"), time.perf_counter()
            error = outcome(name, number, Path(folder))
            seconds, grown = time.perf_counter() - start, _status("VmHWM") - before
            named = isinstance(error, FastckaError)
            kind = "read" if error is None else "refused" if named else "unnamed"
            text = "" if kind != "unnamed" else f"{type(error).__name__}: {error}"[:200]
            print(kind, number, seconds, grown, repr(text), flush=True)
            number += 1


def fuzz(name: str, first: int, seconds: float) -> bool:
    """Fuzz one reader and print its line; tell whether nothing was wrong."""
    counts: Counter[str] = Counter()
    slowest, largest, number = (0.0, -1), (0, -1), first
    problems: list[str] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        command = [sys.executable, __file__, "--child", name, "--first", str(number)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
        ) as process:
            assert process.stdout is not None
            limit = 60.0  # for the imports
            while time.monotonic() < end:
                if not select.select([process.stdout], [], [], limit)[0]:
                    problems.append(f"{name} {number}: no answer")
                    counts["hung"] += 1
                    break
                line = process.stdout.readline().decode()
                if not line:
                    problems.append(f"{name} {number}: died with {process.wait()}")
                    counts["died"] += 1
                    break
                kind, _, took, grown, text = line.split(" ", 4)
                counts[kind] += 1
                slowest = max(slowest, (float(took), number))
                largest = max(largest, (int(grown), number))
                if kind == "unnamed":
                    problems.append(f"{name} {number}: {text.strip()}")
                limit = LIMIT_SECONDS
                number += 1
            process.kill()
        number += 1
    wrong = {kind: counts[kind] for kind in ("unnamed", "hung", "died")}
    print(
        f"{name:<12}{counts['read']:>8} read{counts['refused']:>8} refused",
        *(f"{count:>6} {kind}" for kind, count in wrong.items()),
        f"  slowest {slowest[0]:.3f} s (file {slowest[1]})",
        f"  memory {largest[0] / 2**20:.1f} MiB (file {largest[1]})",
        flush=True,
    )
    for problem in problems[:20]:
        print(f"    {problem}")
    return not any(wrong.values())


def main() -> None:
    """Fuzz the readers that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60, help="for each reader")
    parser.add_argument("--reader", choices=READERS, action="append")
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(asked.child, asked.first)
    results = [fuzz(name, asked.first, asked.seconds) for name in asked.reader or READERS]
    sys.exit(not all(results))


if __name__ == "__main__":
    main()
