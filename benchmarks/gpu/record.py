"""A record of measurements: JSON that is written again after each of them."""

from __future__ import annotations

import json
import os
import time
import traceback
from pathlib import Path


class Record:
    """Facts by name, on disk as soon as they are put."""

    def __init__(self, path, facts=None):
        self.path = Path(path)
        self.facts = dict(facts or {})

    def put(self, name, value):
        self.facts[name] = value
        part = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        part.write_text(json.dumps(self.facts, indent=1, default=str) + "\n", "utf-8")
        part.replace(self.path)

    def measure(self, name, call):
        """Put what the call returns, or how it failed: one failure leaves the other facts."""
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


def summary(value):
    """A fact in a few words."""
    if isinstance(value, dict):
        if "failed" in value:
            return f"failed: {value['failed']}"
        if "skipped" in value:
            return f"skipped: {value['skipped']}"
        if "median" in value:
            return f"median {1e3 * value['median']:.4g} ms"
        found = {name: inner for name, inner in value.items() if isinstance(inner, dict)}
        return ", ".join(f"{name} {summary(inner)}" for name, inner in found.items()) or "done"
    return str(value)
