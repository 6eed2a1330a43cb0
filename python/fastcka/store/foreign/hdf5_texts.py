"""Texts of variable length in HDF5 files that fastcka did not write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from fastcka.memory import require_memory
from fastcka.store.foreign.numpy_files import SMALLER, check_expansion
from fastcka.store.foreign.texts import require_short
from fastcka.store.hdf5 import safety as safe
from fastcka.store.hdf5.heap import text_lengths

if TYPE_CHECKING:
    from pathlib import Path

    import h5py
    from numpy.typing import NDArray

_AT_ONCE: Final = 256


def read_long_text(path: Path, data: h5py.Dataset) -> NDArray[np.bytes_]:
    """Return texts of variable length as text of one length.

    A small file may contain many references to one long text, and a single long text makes all of
    one length long.

    Raises
    ------
    TextError
        If a text is longer than a store can contain.
    CorruptFileError, UnsafeFileError
        If the texts are damaged, or repeat implausibly often.
    """
    where = f"{path}:{data.name}"
    lengths = text_lengths(path, data)
    longest = max(lengths, default=0)
    require_short(where, longest)
    check_expansion(where, sum(lengths), path.stat().st_size)
    require_memory(2 * len(data) * longest, f"reading {where}", SMALLER)
    texts: list[bytes] = []
    for start in range(0, len(data), _AT_ONCE):  # not all texts have known lengths
        with safe.named_errors(path, data):
            texts += data[start : start + _AT_ONCE].reshape(-1).tolist()
        require_short(where, max(map(len, texts[start:]), default=0))
    return np.array(texts, dtype=np.bytes_)
