"""Fixtures of the whole suite."""

from __future__ import annotations

import numpy as np
import pytest

from fastcka.core import backend


@pytest.fixture
def rng():
    return np.random.default_rng(20261121)


@pytest.fixture(params=[table["name"] for table in backend._core.implementations()])
def implementation(request, monkeypatch):
    """Every implementation that this processor can run, one after another."""
    monkeypatch.setenv(backend.IMPLEMENTATION_VARIABLE, request.param)
    return request.param
