"""Saving and restoring the states of the random number generators of a process."""

from __future__ import annotations

import random
from typing import Any

import numpy as np


def rng_state() -> dict[str, Any]:
    """Return the states of the generators of Python, NumPy (the global one) and PyTorch.

    They are tensors and plain values, so a file that contains them loads with ``weights_only``.
    """
    import torch

    cuda: Any = torch.cuda  # untyped
    numpy: Any = np.random.get_state(legacy=True)  # noqa: NPY002
    name, keys, *rest = numpy
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(keys.astype(np.int64)), *rest),
        "torch": torch.get_rng_state(),
        "cuda": cuda.get_rng_state_all() if cuda.is_initialized() else [],
    }


def restore_rng_state(state: dict[str, Any]) -> None:
    """Restore states that `rng_state` returned, in this process or another."""
    import torch

    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
