"""Some examples of an array, as a tensor of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    Array = torch.Tensor | NDArray[Any]
    Rows = slice | list[int]
    """Some examples: from a first to a last, or in any order."""


def examples_of(rows: Rows) -> Sequence[int]:
    """Return the positions of some examples."""
    return range(rows.start, rows.stop) if isinstance(rows, slice) else rows


def batch_tensor(value: Array, rows: Rows, device: torch.device | None) -> torch.Tensor:
    """Return a copy of some examples on a device, in the byte order of the machine."""
    import torch

    # A copy: the network may begin in place, and from_numpy takes neither negative strides nor,
    # without a warning, an array that is read-only.
    if not isinstance(value, np.ndarray):
        return value[rows].detach().clone().to(device)
    taken = value[rows]
    return torch.from_numpy(taken.astype(taken.dtype.newbyteorder("="), copy=True)).to(device)
