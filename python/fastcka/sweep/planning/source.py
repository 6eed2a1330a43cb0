"""Sources of representations: a store, or another object with the same methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fastcka.store import Examples, Key


class RowsInfo(Protocol):
    """The description of a representation's rows, known without reading them; see `LayerInfo`."""

    @property
    def key(self) -> Key:
        """Model, step and layer."""

    @property
    def n_examples(self) -> int:
        """Number of rows."""

    @property
    def examples_digest(self) -> str:
        """Digest of the ids: equal only for the same ids in the same order."""

    @property
    def positional_ids(self) -> bool:
        """Whether the ids only name positions."""


class Source(Protocol):
    """Representations by key. `fastcka.store.Store` is one, and documents these methods."""

    def info(self, key: Key) -> RowsInfo:
        """Describe the rows of a representation."""

    def examples(self, key: Key) -> Examples:
        """Return the ids and columns of its rows."""

    def examples_fingerprint(self, key: Key, columns: Sequence[str]) -> str:
        """Return a digest that is equal only for the same ids in order and equal ``columns``."""

    def read(self, key: Key, *, rows: NDArray[np.int64] | None = None) -> NDArray[Any]:
        """Return the values, (n_examples, n_features), of all rows or of ``rows`` in this order."""
