"""The record of a run: a JSON file that is written again after each measurement.

Each contestant's figures take one line, so that a diff of two records can be read.
"""

from __future__ import annotations

import json
import math
import os
import time
import traceback
from pathlib import Path

#: Of `python -m benchmarks`, and of `benchmarks/gpu_check.py`.
FORMAT = "fastcka.benchmarks/1"
GPU_FORMAT = "fastcka.gpu_check 1"
#: Top-level name -> how many levels of its value are spread over lines; for others it is one.
LEVELS = {"workloads": 3, "growth": 3, "small": 2, "benchmarks": 2, "correctness": 2}


class RecordError(Exception):
    """A file that is not a record: which file, and why."""


class Record:
    """Facts by name; each is in the file as soon as it is put.

    Attributes
    ----------
    path
        The file. It is replaced as a whole, so it is never half written.
    facts
        Name -> JSON value. NaN and infinity are written as texts, because JSON has neither.
    """

    def __init__(self, path, facts=None):
        self.path = Path(path)
        self.facts = dict(facts or {})

    def put(self, name, value):
        """Set one fact and write the file."""
        self.facts[name] = value
        self.write()

    def measure(self, name, call):
        """Put what `call` returns, or how it failed, so that one failure leaves the others."""
        start = time.perf_counter()
        try:
            value = call()
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(last.filename).name}:{last.lineno}"
            value = {"failed": f"{type(error).__name__}: {error} ({where})"}
        self.put(name, value)
        print(f"  {name}: {summary(value)} [{time.perf_counter() - start:.1f} s]", flush=True)
        return value

    def write(self):
        """Write the file."""
        part = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        part.write_text(text(self.facts), encoding="utf-8")
        part.replace(self.path)


def read(path, expected=FORMAT):
    """The facts of the record in a file."""
    try:
        facts = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: expected a record of the benchmarks: {error}") from None
    given = facts.get("format") if isinstance(facts, dict) else None
    if given != expected:
        raise RecordError(f"{path}: expected a record of format {expected}, got {given!r}")
    return facts


def text(facts):
    """The facts as JSON, one line for each contestant of a workload."""
    lines = []
    for name, value in _plain(facts).items():
        lines.append(f" {json.dumps(name)}: {_spread(value, LEVELS.get(name, 1), ' ')}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def summary(value):
    """A fact in a few words."""
    if not isinstance(value, dict):
        return str(value)
    for reason in ("failed", "skipped"):
        if reason in value:
            return f"{reason}: {value[reason]}"
    if "median" in value:
        return f"median {1e3 * value['median']:.4g} ms"
    parts = {name: inner for name, inner in value.items() if isinstance(inner, dict)}
    return ", ".join(f"{name} {summary(inner)}" for name, inner in parts.items()) or "done"


def _spread(value, levels, margin):
    """JSON text: each object in an object or a list takes one line, `levels` deep."""
    holds_names = isinstance(value, dict)
    members = list(value.values()) if holds_names else value
    nested = isinstance(members, list) and any(isinstance(each, dict | list) for each in members)
    if not levels or not nested:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    lines, after_scalar = [], False
    for name, member in zip(value, members, strict=True):
        part = _spread(member, levels - 1, margin + " ")
        part = f"{json.dumps(name, ensure_ascii=False)}: {part}" if holds_names else part
        scalar = not isinstance(member, dict | list)
        if scalar and after_scalar:  # numbers and texts share a line
            lines[-1] += f", {part}"
        else:
            lines.append(part)
        after_scalar = scalar
    opening, closing = "{}" if holds_names else "[]"
    separator = f",\n{margin} "
    return f"{opening}\n{margin} {separator.join(lines)}\n{margin}{closing}"


def _plain(value):
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value).replace("nan", "NaN")
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
