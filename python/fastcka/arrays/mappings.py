"""Mappings, and objects that behave like one, such as the ActivationCache of TransformerLens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def mapping_of(x: Any) -> Mapping[Any, Any] | None:
    """Return a mapping, or an object with ``keys`` and ``items``, as a mapping; else None.

    A table has both, but it is one array: an object with a shape is no mapping.
    """
    if isinstance(x, Mapping):
        return x
    if hasattr(x, "keys") and hasattr(x, "items") and not hasattr(x, "shape"):
        return dict(x.items())
    return None


def brief(x: Any) -> str:
    """Return what an argument is, for an error message: short values as they are, else the type."""
    is_short = x is None or (isinstance(x, dict | list | tuple) and not x)
    is_text = isinstance(x, str | int | float)
    return f"{x!r:.60}" if is_short or is_text else f"an object of type {type(x).__name__}"
