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
