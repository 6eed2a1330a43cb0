"""Where representations are read from: a store, or anything that answers the same questions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fastcka.store import Examples, Key


class RowsInfo(Protocol):
    """What is known of the rows of a representation without reading them; see `LayerInfo`."""

    @property
    def key(self) -> Key:
        """Model, step and layer."""

    @property
    def n_examples(self) -> int:
        """Number of rows."""

    @property
    def examples_digest(self) -> str:
        """Equal for two representations only if they have the same ids in the same order."""

    @property
    def positional_ids(self) -> bool:
        """Whether the ids only name positions."""


class Source(Protocol):
    """Representations by key. `fastcka.store.Store` is one; its methods say what each returns."""

    def info(self, key: Key) -> RowsInfo:
        """Describe the rows of a representation."""

    def examples(self, key: Key) -> Examples:
        """Return the ids and columns of its rows."""

    def examples_fingerprint(self, key: Key, columns: Sequence[str]) -> str:
        """Return a digest: equal only for the same ids in order with the same ``columns``."""

    def read(self, key: Key, *, rows: NDArray[np.int64] | None = None) -> NDArray[Any]:
        """Return its values, (n_examples, n_features), or those of some ``rows`` in their order."""
