"""Arrays and ids for imports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fastcka.store import open_store

N = 6
X = np.random.default_rng(3).normal(size=(N, 4))
NAMES = [f"img{row}.png" for row in range(N)]
INDICES = [7, 3, 11, 0, 2, 5]
TEXTS = [str(index) for index in INDICES]


def ids_of(folder: Path, layer: str | None = None) -> tuple[list[str], bool]:
    with open_store(folder / "store") as store:
        keys = store.keys()
        key = next(key for key in keys if layer in (None, key.layer))
        examples = store.examples(key)
    return examples.ids.tolist(), examples.positional_ids


def reasons(report: Any) -> list[tuple[str, str]]:
    return [(finding.kind, finding.reason) for finding in report.findings]


def hdf5(path: Path, **members: Any) -> None:
    with h5py.File(path, "w") as file:
        for name, values in members.items():
            file[name] = values


def lines(*items: Any, end: str = "\n") -> str:
    return "".join(f"{item}{end}" for item in items)
