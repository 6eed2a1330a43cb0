"""The rows of one layer, made from a module's values for each batch: one row for each example."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastcka.capture.batches import examples_of
from fastcka.capture.pooling import pooled
from fastcka.errors import InputError
from fastcka.memory import size_text
from fastcka.out_of_memory import shortage, shortage_reason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch
    from numpy.typing import NDArray

    from fastcka.capture.batches import Rows
    from fastcka.capture.masks import LayerMask
    from fastcka.capture.pooling import Pool

    Values = NDArray[np.float32] | NDArray[np.float64]
    Allocate = Callable[[tuple[int, ...], type[np.float32] | type[np.float64]], Values]


@dataclass(frozen=True, slots=True)
class LayerReading:
    """How the values of a layer become rows.

    Attributes
    ----------
    layer
        The layer's name, for messages.
    pool
        The pooling.
    mask
        The mask.
    batch_axis
        The axis of the examples in the module's values; None if the caller named none, which means
        the first axis.
    channels_first
        Whether PyTorch documents the second axis of the module's values as channels.
    """

    layer: str
    pool: Pool
    mask: LayerMask
    batch_axis: int | None
    channels_first: bool = False

    def rows(self, values: torch.Tensor, rows: Rows) -> torch.Tensor:
        """Return the rows of a batch, (n_rows, n_features), or more axes with pool "none".

        Raises
        ------
        InputError
            If the tensor has no axis for the examples, or its shape does not fit the pooling.
        """
        n_rows = len(examples_of(rows))
        axis = self.batch_axis or 0
        if values.ndim <= axis or values.shape[axis] != n_rows or values.numel() == 0:
            raise InputError(
                f"layer {self.layer!r}: expected {n_rows} examples on the {_ordinal(axis)} axis "
                f"and features on the others, got the shape {tuple(values.shape)}"
                f"{self._other_axis(values, n_rows, axis)}"
            )
        values = values.movedim(axis, 0)
        real = None
        over_tokens = self.pool in ("mean_tokens", "last_token", "cls")
        if values.ndim == 3 if over_tokens else values.ndim > 2 and self.pool != "spatial_mean":
            certain = values.ndim == 3 and not self.channels_first
            real = self.mask.real_tokens(
                rows, values.shape[1], values.device, needed=over_tokens, certain=certain
            )
        return pooled(values, self.pool, real, layer=self.layer)

    def is_ambiguous(self, values: torch.Tensor, rows: Rows) -> bool:
        """Whether tokens first and examples first have the same shape in this batch."""
        n_rows = len(examples_of(rows))
        return (
            self.batch_axis is None
            and n_rows > 1
            and values.ndim == 3
            and values.shape[:2] == (n_rows, n_rows)
        )

    def _other_axis(self, values: torch.Tensor, n_rows: int, axis: int) -> str:
        others = [i for i, size in enumerate(values.shape) if size == n_rows and i != axis]
        if not others or values.numel() == 0:
            return (
                f". A layer without this axis cannot be captured; exclude it with '!{self.layer}' "
                "after a pattern"
            )
        return (
            f". Axis {others[0]} has {n_rows} entries; if these are the examples, write "
            f"batch_axis={{{self.layer!r}: {others[0]}}} (or build a recurrent or attention module "
            "with batch_first=True)"
        )


class PooledRows:
    """The rows of one layer, in one array for all examples.

    The array is float64 if the values are, else float32, which represents float16, bfloat16 and
    8-bit floats exactly.
    """

    def __init__(self, reading: LayerReading, n_examples: int, allocate: Allocate) -> None:
        self.reading = reading
        self._n_examples = n_examples
        self._allocate = allocate
        self._values: Values = np.empty((0, 0), np.float32)
        self._ambiguous = True

    def take(self, values: torch.Tensor, rows: Rows) -> None:
        """Pool and copy the rows of one batch."""
        import torch

        # With as many tokens as examples, tokens first has the same shape. Other batches may not.
        self._ambiguous &= self.reading.is_ambiguous(values, rows)
        values = self.reading.rows(values, rows)
        layer, first = self.reading.layer, examples_of(rows)[0]
        if first == 0:
            wide = values.dtype == torch.float64
            shape = (self._n_examples, *values.shape[1:])
            self._values = self._array(shape, np.float64 if wide else np.float32)
        elif values.shape[1:] != self._values.shape[1:]:
            raise InputError(
                f"layer {layer!r}: expected a constant number of features, got "
                f"{_features(values.shape)} for example {first} and "
                f"{_features(self._values.shape)} for example 0; pad the inputs, pool over tokens, "
                "or capture a layer after the network's pooling"
            )
        if values.dtype == torch.float64 and self._values.dtype != np.float64:
            raise InputError(
                f"layer {layer!r}: expected the same dtype for all batches, got float64 for "
                f"example {first}, but not for example 0"
            )
        torch.from_numpy(self._values[rows]).copy_(values)

    def whole(self) -> Values:
        """Return all rows."""
        if self._ambiguous:
            layer = self.reading.layer
            raise InputError(
                f"layer {layer!r} has as many tokens as a batch has examples, so tokens first and "
                "examples first cannot be distinguished; use another batch_size, or write "
                f"batch_axis={{{layer!r}: 0}} if the examples are first, {{{layer!r}: 1}} if not"
            )
        return self._values

    def _array(self, shape: tuple[int, ...], dtype: type[np.float32] | type[np.float64]) -> Values:
        problem = None
        try:
            return self._allocate(shape, dtype)
        except Exception as error:
            if shortage_reason(error) is None:
                raise
            problem = shortage(
                f"layer {self.reading.layer!r}, rows of shape {shape}",
                f"{size_text(dtype().itemsize * math.prod(shape))} are needed",
                "pool them (pool=), capture fewer layers at a time, or use "
                "capture_representations, which collects rows on disk",
            )
        raise problem


def _ordinal(axis: int) -> str:
    return ("first", "second", "third", "fourth")[axis] if axis < 4 else f"{axis + 1}th"


def _features(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape[1:]))
