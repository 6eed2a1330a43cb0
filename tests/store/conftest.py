from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import fastcka.store.headers as headers_module
from fastcka.store import Store, create_store
from store.malformed_files import KEY, N


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(7, 5)).astype(np.float32)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return create_store(tmp_path / "store")


@pytest.fixture
def by_hdf5(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the names of the files that are opened through HDF5."""
    names: list[str] = []
    real = headers_module.open_step

    def counting(path: Path) -> object:
        names.append(path.name)
        return real(path)

    monkeypatch.setattr(headers_module, "open_step", counting)
    return names


@pytest.fixture
def array_tree(tmp_path: Path) -> Path:
    (tmp_path / "array_tree/m/1").mkdir(parents=True)
    return tmp_path / "array_tree"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return tmp_path / "tree"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def sealed(store: Store, values: np.ndarray) -> Path:
    """A valid file of a store."""
    store.write(
        model="m",
        step=3,
        layers={"a": values, "b": values + 1},
        example_columns={"c": ["x"] * N, "flag": [True] * N},
        factors={"seed": 0},
    )
    return store.info(KEY).path


@pytest.fixture
def written(sealed: Path, as_format_1_0: Callable[[Path], None]) -> Path:
    """The same file in format 1.0, in which no checksum hides other faults."""
    as_format_1_0(sealed)
    return sealed
