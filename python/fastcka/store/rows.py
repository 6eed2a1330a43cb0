"""A representation of a store that is read in blocks of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastcka.arrays import Rows
from fastcka.errors import StoreError
from fastcka.store.file.dtypes import STORED_DTYPES
from fastcka.store.file.output import check_positions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastcka.store.file.key import Key
    from fastcka.store.store import Store


class StoredRows(Rows):
    """The rows of a representation, or some of them; `Store.rows` returns it.

    Attributes
    ----------
    key
        Model, step and layer.
    """

    def __init__(self, store: Store, key: Key, positions: NDArray[np.integer[Any]] | None) -> None:
        info = store.info(key)
        if positions is not None:
            check_positions(positions, info.n_examples, key)
        self.key = key
        self._store = store
        self._positions = positions
        self._version = info.digest, info.examples_digest
        n_rows = info.n_examples if positions is None else len(positions)
        self.shape = (n_rows, info.n_features)
        # NumPy has no bfloat16: it becomes float32.
        self.dtype = np.dtype("f4") if info.dtype == "bfloat16" else STORED_DTYPES[info.dtype]

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return rows; a changed file is an error, because blocks would be of different data.

        Raises
        ------
        StoreError
            If the file has changed since this object was made, or cannot be read.
        """
        chosen = np.arange(start, stop) if self._positions is None else self._positions[start:stop]
        values = self._store.read(self.key, rows=chosen)
        info = self._store.info(self.key)
        if (info.digest, info.examples_digest) != self._version:
            raise StoreError(f"the store has changed while {self.key} was read: run again")
        return values
