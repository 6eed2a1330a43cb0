"""The rows of one layer: from what its module gave for a batch to one row for each example."""

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
        Its pooling.
    mask
        Its mask.
    batch_axis
        The axis of the examples in what the module gives; None for the first, if nothing was said.
    channels_first
        Whether PyTorch documents the second axis of what the module gives as channels.
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
            If the tensor has no axis of the examples, or its shape does not fit the pooling.
        """
        n_rows = len(examples_of(rows))
        axis = self.batch_axis or 0
        if values.ndim <= axis or values.shape[axis] != n_rows or values.numel() == 0:
            raise InputError(
                f"layer {self.layer!r} gave a tensor of shape {tuple(values.shape)} for a batch of "
                f"{n_rows} examples; its {_ordinal(axis)} axis must be the examples, with features "
                f"on the others{self._other_axis(values, n_rows, axis)}"
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

    def looks_turned(self, values: torch.Tensor, rows: Rows) -> bool:
        """Whether tokens first and examples first would look the same in this batch."""
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
            return f". Leave out a layer without this axis: '!{self.layer}' behind a pattern"
        return (
            f". Axis {others[0]} has {n_rows} entries; if these are the examples, write "
            f"batch_axis={{{self.layer!r}: {others[0]}}} (or give a recurrent or attention module "
            "batch_first=True)"
        )


class PooledRows:
    """The rows of one layer, in an array for all examples: float64 of float64, else float32.

    float32 has all digits of float16, bfloat16 and the floats of 8 bits.
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

        # As many tokens as examples: tokens first would look the same. Another batch may tell.
        self._ambiguous &= self.reading.looks_turned(values, rows)
        values = self.reading.rows(values, rows)
        layer, first = self.reading.layer, examples_of(rows)[0]
        if first == 0:
            wide = values.dtype == torch.float64
            shape = (self._n_examples, *values.shape[1:])
            self._values = self._array(shape, np.float64 if wide else np.float32)
        elif values.shape[1:] != self._values.shape[1:]:
            raise InputError(
                f"layer {layer!r} gave {_features(values.shape)} features for example "
                f"{first} and {_features(self._values.shape)} for example 0; the number must "
                "be constant (pad the inputs, pool over tokens, or capture a layer behind the "
                "network's own pooling)"
            )
        if values.dtype == torch.float64 and self._values.dtype != np.float64:
            raise InputError(
                f"layer {layer!r} gave float64 for example {first}, but not for example 0; "
                "expected the same dtype for all batches"
            )
        torch.from_numpy(self._values[rows]).copy_(values)

    def whole(self) -> Values:
        """Return all rows."""
        if self._ambiguous:
            layer = self.reading.layer
            raise InputError(
                f"layer {layer!r} gave as many tokens as a batch has examples, so that tokens "
                "first and examples first look the same; expected another batch_size, or "
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
                "capture_representations, which collects rows on the disk",
            )
        raise problem


def _ordinal(axis: int) -> str:
    return ("first", "second", "third", "fourth")[axis] if axis < 4 else f"{axis + 1}th"


def _features(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape[1:]))
