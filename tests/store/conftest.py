from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from fastcka.store import Store, create_store


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(7, 5)).astype(np.float32)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return create_store(tmp_path / "store")


@pytest.fixture
def as_format_1_0() -> Callable[[Path], None]:
    """Remove from a file all that format 1.1 added, so that it is one of format 1.0."""

    def remove(path: Path) -> None:
        with h5py.File(path, "r+", libver=("v110", "v110")) as file:
            del file["checksums"], file.attrs["seal"]
            file.attrs.modify("format_version", np.bytes_(b"1.0"))
            columns = [file["examples"][name] for name in file["examples"]]
            for data in (*columns, *(file["layers"][name]["x"] for name in file["layers"])):
                del data.attrs["first_checksum"]

    return remove
