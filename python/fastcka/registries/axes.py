"""Arrays with more than two axes, as rows of examples."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from fastcka.errors import InputError


def checked_axes(name: str, x: Any, counts: Collection[int], expected: str) -> tuple[int, ...]:
    """Return the shape of an array or tensor.

    Raises
    ------
    InputError
        It is something else, or has another number of axes than one of ``counts``.
    """
    shape = getattr(x, "shape", None)
    if not isinstance(shape, tuple):
        raise InputError(f"{name}: expected an array or tensor, got a {type(x).__name__}")
    if len(shape) not in counts:
        raise InputError(f"{name}: expected {expected}, got an array of shape {tuple(shape)}")
    if len(shape) > 2 and not hasattr(x, "reshape"):
        raise InputError(
            f"{name}: expected an array or tensor that has reshape, got a {type(x).__name__}: pass "
            "its values"
        )
    return tuple(shape)
