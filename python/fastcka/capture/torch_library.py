"""PyTorch, where it is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcka.errors import MissingExtraError

if TYPE_CHECKING:
    from types import ModuleType


def require_torch() -> ModuleType:
    """Return PyTorch, or say which extra installs it."""
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError.of("fastcka.capture", "torch", "torch") from error
    return torch
