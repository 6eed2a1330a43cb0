"""Importing PyTorch, or naming the extra that installs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcka.errors import MissingExtraError

if TYPE_CHECKING:
    from types import ModuleType


def require_torch() -> ModuleType:
    """Return PyTorch; raise MissingExtraError with the extra that installs it."""
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError.of("fastcka.capture", "torch", "torch") from error
    return torch


def writes_files() -> bool:
    """Return whether this process writes files: without distributed training, or with rank 0."""
    distributed = require_torch().distributed
    if distributed.is_available() and distributed.is_initialized():
        return bool(distributed.get_rank() == 0)
    return True
