"""BLAKE2b digests, in hexadecimal, of bytes, text, JSON content, files and arrays."""

from __future__ import annotations

import hashlib
import json
import sys
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable
    from io import BufferedReader

    from numpy.typing import NDArray

SIZE: Final = 16
"""Bytes in a digest, unless the caller names another size."""


def new_digest(size: int = SIZE) -> hashlib.blake2b:
    """Return an empty digest, for content that arrives in parts."""
    return hashlib.blake2b(digest_size=size)


def bytes_digest(data: bytes, size: int = SIZE) -> str:
    """Return the digest of bytes."""
    return hashlib.blake2b(data, digest_size=size).hexdigest()


def text_digest(text: str) -> str:
    """Return the digest of a text, which may contain lone surrogates."""
    return bytes_digest(text.encode("utf-8", "surrogatepass"))


def json_digest(content: object) -> str:
    """Return the digest of content that JSON can represent. The order of keys does not matter."""
    return bytes_digest(json.dumps(content, sort_keys=True).encode())


def file_digest(file: BufferedReader) -> str:
    """Return the digest of an open file, 64 bytes as ``b2sum`` prints it."""
    return hashlib.file_digest(file, hashlib.blake2b).hexdigest()


def arrays_digest(arrays: Iterable[tuple[str, Any]]) -> str:
    """Return the digest of named NumPy arrays or torch tensors of any dtype.

    Two digests are equal only if names, dtypes, shapes, values and order are equal. The device and
    the strides do not matter.
    """
    digest = new_digest()
    for name, array in arrays:
        dtype, data = _content(array)
        digest.update(f"{name!r} {dtype} {tuple(array.shape)}\n".encode())
        digest.update(data.data)
    return digest.hexdigest()


def _content(array: Any) -> tuple[str, NDArray[np.uint8]]:
    if isinstance(array, np.ndarray):
        flat = np.ascontiguousarray(array).reshape(-1)
        return flat.dtype.str, flat.view(np.uint8)
    # As bytes, because NumPy has no bfloat16 and no float8.
    tensor = array.detach().cpu().resolve_conj().resolve_neg().reshape(-1).contiguous()
    return str(array.dtype), tensor.view(sys.modules["torch"].uint8).numpy()
