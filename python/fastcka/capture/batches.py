"""Copies of some examples of an array, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    Array = torch.Tensor | NDArray[Any]
    Rows = slice | list[int]
    """Positions of some examples: a range, or a list in any order."""


def examples_of(rows: Rows) -> Sequence[int]:
    """Return the positions of some examples."""
    return range(rows.start, rows.stop) if isinstance(rows, slice) else rows


def batch_tensor(value: Array, rows: Rows, device: torch.device | None) -> torch.Tensor:
    """Return a copy of some examples on a device, in the byte order of the machine."""
    import torch

    # A copy is needed: the network may change its input in place, and from_numpy refuses negative
    # strides and warns about read-only arrays.
    if not isinstance(value, np.ndarray):
        return value[rows].detach().clone().to(device)
    taken = value[rows]
    return torch.from_numpy(taken.astype(taken.dtype.newbyteorder("="), copy=True)).to(device)
