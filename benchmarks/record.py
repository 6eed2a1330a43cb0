"""The record of a run: one JSON file, from which tables and curves are made."""

from __future__ import annotations

import json
import math
from pathlib import Path

FORMAT = "fastcka.benchmarks/1"


class RecordError(Exception):
    """A file is no record; which, and why."""


def write(path, record):
    """Write a record, all or nothing. NaN becomes the text "NaN": JSON has none."""
    path = Path(path)
    beside = path.with_name(path.name + ".part")
    text = json.dumps(_plain(record), indent=1, ensure_ascii=False, allow_nan=False)
    beside.write_text(text + "\n", encoding="utf-8")
    beside.replace(path)


def read(path):
    """The record in a file."""
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: expected a record of the benchmarks: {error}") from None
    found = record.get("format") if isinstance(record, dict) else None
    if found != FORMAT:
        raise RecordError(f"{path}: expected a record of format {FORMAT}, got {found!r}")
    return record


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value).replace("nan", "NaN")
    return value
