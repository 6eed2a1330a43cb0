from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fastcka.store import Store, create_store
from store.malformed_files import KEY, N


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(7, 5)).astype(np.float32)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return create_store(tmp_path / "store")


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
    """A file of a store, good so far."""
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
    """The same in format 1.0, where no checksum hides what else is wrong."""
    as_format_1_0(sealed)
    return sealed
