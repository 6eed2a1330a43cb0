"""Modules that replace the libraries of trainers."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest


def install_fake(monkeypatch: pytest.MonkeyPatch, name: str, base: str) -> None:
    """Replace the library by a module with an empty base class."""
    module = ModuleType(name)
    setattr(module, base, type(base, (), {}))
    for part in {name, name.partition(".")[0]}:
        monkeypatch.setitem(sys.modules, part, module)
