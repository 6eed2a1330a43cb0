"""How the values of a module become rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastcka.capture.batches import examples_of
from fastcka.capture.pooling import pooled
from fastcka.errors import InputError

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from fastcka.capture.batches import Rows
    from fastcka.capture.masks import LayerMask
    from fastcka.capture.pooling import Pool
    from fastcka.capture.positions import Positions


@dataclass(frozen=True, slots=True)
class LayerReading:
    """How the values of a layer become rows.

    Attributes
    ----------
    layer
        The layer's name, for messages.
    pool
        The pooling of examples into rows.
    mask
        The mask.
    batch_axis
        The axis of the examples in the module's values; None if the caller named none, which means
        the first axis.
    channels_first
        Whether PyTorch documents the second axis of the module's values as channels.
    positions
        The positions that are rows; None if each example is a row.
    """

    layer: str
    pool: Pool
    mask: LayerMask
    batch_axis: int | None
    channels_first: bool = False
    positions: Positions | None = None

    @property
    def way(self) -> str:
        """How rows are made: the pooling, or what is a row."""
        return self.pool if self.positions is None else self.positions.kind

    def values(self, values: torch.Tensor, rows: Rows) -> torch.Tensor:
        """Return the values of a batch, with one entry of the first axis for each example.

        Examples that are rows are pooled: (n_rows, n_features), or more axes with pool "none".
        With positions as rows, the shape is (n_rows, n_positions, n_features).

        Raises
        ------
        InputError
            If the tensor has no axis for the examples, or its shape does not fit the pooling or the
            kind of rows.
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
        if self.positions is not None:
            return self._by_position(values, self.positions)
        real = None
        over_tokens = self.pool in ("mean_tokens", "last_token", "cls")
        if values.ndim == 3 if over_tokens else values.ndim > 2 and self.pool != "spatial_mean":
            certain = values.ndim == 3 and not self.channels_first
            real = self.mask.real_tokens(
                rows, values.shape[1], values.device, needed=over_tokens, certain=certain
            )
        return pooled(values, self.pool, real, layer=self.layer)

    def real_positions(self, n_examples: int, values: torch.Tensor) -> NDArray[np.bool_]:
        """Return which positions of all examples are rows, from the values of one batch."""
        import torch

        n_positions, real = values.shape[1], None
        if self.way == "tokens":
            everything, device = slice(0, n_examples), torch.device("cpu")
            real = self.mask.real_tokens(everything, n_positions, device, needed=True, certain=True)
        return np.ones((n_examples, n_positions), np.bool_) if real is None else real.numpy()

    def is_ambiguous(self, values: torch.Tensor, rows: Rows) -> bool:
        """Whether tokens first and examples first have the same shape in this batch."""
        n_rows = len(examples_of(rows))
        return (
            self.batch_axis is None
            and n_rows > 1
            and values.ndim == 3
            and values.shape[:2] == (n_rows, n_rows)
        )

    def _by_position(self, values: torch.Tensor, positions: Positions) -> torch.Tensor:
        shape = tuple(values.shape)
        if positions.kind == "positions":
            if values.ndim < 3:
                raise InputError(
                    f"layer {self.layer!r}: expected the shape (n_examples, n_channels, ...) for "
                    f"rows='positions', got {shape}; {self._exclusion}"
                )
            return values.flatten(2).transpose(1, 2)
        if self.channels_first:
            raise InputError(
                f"layer {self.layer!r}: expected the shape (n_examples, n_tokens, n_features) for "
                f"rows='tokens', got {shape}, whose second axis is channels; use rows='positions'"
            )
        if values.ndim != 3:
            raise InputError(
                f"layer {self.layer!r}: expected the shape (n_examples, n_tokens, n_features) for "
                f"rows='tokens', got {shape}; {self._exclusion}"
            )
        return values

    @property
    def _exclusion(self) -> str:
        return f"exclude this layer with '!{self.layer}' after a pattern, or use rows='examples'"

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


def _ordinal(axis: int) -> str:
    return ("first", "second", "third", "fourth")[axis] if axis < 4 else f"{axis + 1}th"
