"""The rows of one layer, made from a module's values for each batch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fastcka.capture.batches import examples_of
from fastcka.errors import InputError
from fastcka.memory import size_text
from fastcka.out_of_memory import shortage, shortage_reason

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    import torch
    from numpy.typing import NDArray

    from fastcka.capture.batches import Rows
    from fastcka.capture.layer_reading import LayerReading

    Values = NDArray[np.float32] | NDArray[np.float64]
    Allocate = Callable[[tuple[int, ...], type[np.float32] | type[np.float64]], Values]


class LayerRows:
    """The rows of one layer; subclasses say where they go.

    They are float64 if the values are, else float32, which represents float16, bfloat16 and 8-bit
    floats exactly.

    Parameters
    ----------
    reading
        How values become rows.
    n_examples
        Number of examples of the probe set.
    """

    def __init__(self, reading: LayerReading, n_examples: int) -> None:
        self.reading = reading
        self.dtype: type[np.float32] | type[np.float64] = np.float32
        self._n_examples = n_examples
        self._shape: Sequence[int] = ()
        self._ambiguous = True

    def take(self, values: torch.Tensor, rows: Rows) -> None:
        """Copy the rows of one batch."""
        import torch

        # With as many tokens as examples, tokens first has the same shape. Other batches may not.
        self._ambiguous &= self.reading.is_ambiguous(values, rows)
        values = self.reading.values(values, rows)
        layer, first = self.reading.layer, examples_of(rows)[0]
        if first == 0:
            self._shape = values.shape[1:]
            self.dtype = np.float64 if values.dtype == torch.float64 else np.float32
            if self.reading.positions is not None:
                real = self.reading.real_positions(self._n_examples, values)
                self.reading.positions.settle(layer, real)
            self._begin()
        elif values.shape[1:] != self._shape:
            what = "features" if self.reading.positions is None else "positions and features"
            raise InputError(
                f"layer {layer!r}: expected a constant number of {what}, got "
                f"{_sizes(values.shape[1:])} for example {first} and "
                f"{_sizes(self._shape)} for example 0; pad the inputs, pool over tokens, "
                "or capture a layer after the network's pooling"
            )
        if values.dtype == torch.float64 and self.dtype != np.float64:
            raise InputError(
                f"layer {layer!r}: expected the same dtype for all batches, got float64 for "
                f"example {first}, but not for example 0"
            )
        self._put(self._rows_of(values, rows), rows)

    def by_example(self, values: torch.Tensor, rows: Rows) -> list[NDArray[np.float64]]:
        """Return all numbers of the rows of each example of a later batch.

        Raises
        ------
        InputError
            If their number has changed.
        """
        values = self.reading.values(values, rows)
        if values.shape[1:] != self._shape:
            raise InputError(
                f"layer {self.reading.layer!r}: expected {math.prod(self._shape)} features for an "
                f"example as before, got {math.prod(values.shape[1:])}"
            )
        return [
            self._rows_of(values[i : i + 1], [example]).cpu().double().flatten().numpy()
            for i, example in enumerate(examples_of(rows))
        ]

    def example(self, position: int) -> Values:
        """Return the captured rows of one example."""
        raise NotImplementedError

    def require_axes(self) -> None:
        """Raise `InputError` if the axes of tokens and examples may be swapped."""
        if self._ambiguous:
            layer = self.reading.layer
            raise InputError(
                f"layer {layer!r} has as many tokens as a batch has examples, so tokens first and "
                "examples first cannot be distinguished; use another batch_size, or write "
                f"batch_axis={{{layer!r}: 0}} if the examples are first, {{{layer!r}: 1}} if not"
            )

    def _begin(self) -> None:
        """Prepare for the rows, whose shape and dtype are now known."""

    def _put(self, values: torch.Tensor, rows: Rows) -> None:
        """Copy the rows of some examples."""
        raise NotImplementedError

    def _rows_of(self, values: torch.Tensor, rows: Rows) -> torch.Tensor:
        """Return the rows of some examples, without padding."""
        import torch

        if self.reading.positions is None:
            return values
        real = torch.from_numpy(self.reading.positions.real_in(rows))
        return values[real.to(values.device)]


class CollectedRows(LayerRows):
    """The rows of all examples, in one array.

    Parameters
    ----------
    allocate
        Called with the shape and the dtype; returns the array.
    """

    def __init__(self, reading: LayerReading, n_examples: int, allocate: Allocate) -> None:
        super().__init__(reading, n_examples)
        self._allocate = allocate
        self._starts = np.arange(n_examples + 1)
        self._values: Values = np.empty((0, 0), np.float32)

    def whole(self) -> Values:
        """Return all rows."""
        self.require_axes()
        return self._values

    def example(self, position: int) -> Values:
        """Return the captured rows of one example."""
        return self._values[self._starts[position] : self._starts[position + 1]]

    def _begin(self) -> None:
        shape = tuple(self._shape)
        if self.reading.positions is not None:
            self._starts, shape = self.reading.positions.starts, shape[1:]
        self._values = self._array((int(self._starts[-1]), *shape))

    def _put(self, values: torch.Tensor, rows: Rows) -> None:
        import torch

        examples = examples_of(rows)
        start, stop = self._starts[examples[0]], self._starts[examples[-1] + 1]
        torch.from_numpy(self._values[start:stop]).copy_(values)

    def _array(self, shape: tuple[int, ...]) -> Values:
        problem = None
        try:
            return self._allocate(shape, self.dtype)
        except Exception as error:
            if shortage_reason(error) is None:
                raise
            problem = shortage(
                f"layer {self.reading.layer!r}, rows of shape {shape}",
                f"{size_text(self.dtype().itemsize * math.prod(shape))} are needed",
                "pool them (pool=), capture fewer layers at a time, or use "
                "capture_representations, which collects rows on disk",
            )
        raise problem


class BatchRows(LayerRows):
    """The rows of the last batch, and those of a few examples.

    Parameters
    ----------
    kept
        The positions of the examples to keep.

    Attributes
    ----------
    batch
        The rows of the last batch, (n_rows, n_features).
    """

    def __init__(self, reading: LayerReading, n_examples: int, kept: Collection[int]) -> None:
        super().__init__(reading, n_examples)
        self.batch: Values = np.empty((0, 0), np.float32)
        self._kept = kept
        self._rows: dict[int, Values] = {}

    def example(self, position: int) -> Values:
        """Return the captured rows of one kept example."""
        return self._rows[position]

    def _put(self, values: torch.Tensor, rows: Rows) -> None:
        import torch

        wide = torch.float64 if self.dtype == np.float64 else torch.float32
        self.batch = values.to("cpu", wide, copy=True).flatten(1).numpy()
        positions = self.reading.positions
        counts = [1] * len(self.batch) if positions is None else positions.real_in(rows).sum(axis=1)
        ends = np.cumsum(counts)
        for example, count, end in zip(examples_of(rows), counts, ends, strict=True):
            if example in self._kept:
                self._rows[example] = self.batch[end - count : end].copy()


def _sizes(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
