from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fastcka.store import Store, create_store


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(7, 5)).astype(np.float32)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return create_store(tmp_path / "store")
