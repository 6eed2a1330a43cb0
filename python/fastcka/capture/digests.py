"""Digests of numbers: equal only for the same names, formats, shapes and values, in order."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch
    from numpy.typing import NDArray

    Array = torch.Tensor | NDArray[Any]


def digest_of(arrays: Iterable[tuple[str, Array]]) -> str:
    """Return the BLAKE2b digest (16 bytes, hexadecimal) of named arrays or tensors of any dtype.

    It does not depend on the device, nor on the strides.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, array in arrays:
        kind, data = _content(array)
        digest.update(f"{name!r} {kind} {tuple(array.shape)}\n".encode())
        digest.update(data.data)
    return digest.hexdigest()


def text_digest(text: str) -> str:
    """Return the BLAKE2b digest (16 bytes, hexadecimal) of a text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _content(array: Array) -> tuple[str, NDArray[np.uint8]]:
    if isinstance(array, np.ndarray):
        flat = np.ascontiguousarray(array).reshape(-1)
        return flat.dtype.str, flat.view(np.uint8)
    import torch

    # Bytes, as NumPy has no bfloat16 and no float8.
    flat_tensor = array.detach().cpu().resolve_conj().resolve_neg().reshape(-1).contiguous()
    return str(array.dtype), flat_tensor.view(torch.uint8).numpy()
