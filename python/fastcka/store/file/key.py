"""The key of a representation, and the descriptions of its layer and examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from fastcka.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


class Key(NamedTuple):
    """The name of one representation.

    Parameters
    ----------
    model
        Name of the training run.
    step
        Training step, 0 or more.
    layer
        Dotted module path or number of the layer.
    """

    model: str
    step: int
    layer: str

    @classmethod
    def of(cls, key: Any) -> Key:
        """Return a `Key` from a `Key` or a tuple; `InputError` for other objects."""
        if isinstance(key, cls):
            return key
        if isinstance(key, tuple) and len(key) == len(cls._fields):
            return cls(*key)
        raise InputError(
            f"key: expected fastcka.store.Key(model, step, layer), such as one of store.keys(), "
            f"got {key!r}"
        )

    def __str__(self) -> str:
        return f"model '{self.model}', step {self.step}, layer '{self.layer}'"


@dataclass(frozen=True, slots=True)
class LayerInfo:
    """The description of a representation, available without reading its values.

    Attributes
    ----------
    key
        Key of the representation.
    n_examples, n_features
        Shape of the representation.
    examples_digest
        Equal for two representations only if they have the same example ids in the same order.
    dtype
        Stored dtype: "float16", "bfloat16", "float32" or "float64".
    digest
        BLAKE2b (32 bytes, in hexadecimal) of the values as little-endian bytes in C order.
    path
        The file that contains the representation.
    positional_ids
        Whether the example ids are only row positions, "0" to "n-1", because the writer gave none.
    pooling, io
        How activations were reduced, and which side of the layer they are from; None if the writer
        gave no value.
    """

    key: Key
    n_examples: int
    examples_digest: str
    n_features: int
    dtype: str
    digest: str
    path: Path
    positional_ids: bool
    pooling: str | None = None
    io: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """The examples (rows) of a representation.

    Attributes
    ----------
    ids
        Unique names, str, shape (n_examples,).
    columns
        Further columns for filters, each (n_examples,): str, int64, float64 or bool.
    positional_ids
        Whether the ids are only row positions, "0" to "n-1", because the writer gave none.
    """

    ids: NDArray[np.str_]
    columns: dict[str, NDArray[Any]]
    positional_ids: bool = False
