"""Representations of the same examples, read in blocks of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextvars import copy_context
from typing import Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from fastcka.arrays import Rows
from fastcka.core.arrays import float64_of
from fastcka.core.sums import LARGEST, Matrix, non_finite_text
from fastcka.errors import InputError
from fastcka.out_of_memory import THREAD_BYTES, require_room

Position = TypeVar("Position")
Block = TypeVar("Block")

#: Bytes of a block in float64 while values that are not finite are counted.
COUNTED_BYTES = 8 << 20


class Sources:
    """The representations of a group.

    Attributes
    ----------
    names
        Their names in error messages.
    n_examples, widths
        Number of examples, and of features of each.
    """

    def __init__(self, rows: Sequence[Rows], names: Sequence[str]) -> None:
        self._rows = rows
        self.names = names
        self.n_examples = rows[0].shape[0]
        self.widths = tuple([each.n_features for each in rows])

    def panel(self, i: int, start: int, stop: int) -> NDArray[Any]:
        """Return rows of representation i, (stop - start, d): floats, or integers of 32 bits."""
        x = self._rows[i].read(start, stop)
        if isinstance(x, np.ndarray):
            most = {"f": 8, "b": 1, "i": 4, "u": 4}.get(x.dtype.kind, 0)
            if x.dtype.itemsize <= most:
                return x.reshape(stop - start, self.widths[i])
        return float64_of(x, self.names[i], shift=False)

    def block(self, start: int, stop: int) -> Matrix:
        """Return rows of all representations side by side in float64, (stop - start, D).

        Raises
        ------
        InputError
            For NaN or infinite values, with the positions in the whole, or too large ones.
        """
        out = np.empty((stop - start, sum(self.widths)))
        first = 0
        for i, width in enumerate(self.widths):
            out[:, first : first + width] = self.panel(i, start, stop)
            first += width
        with np.errstate(over="ignore", invalid="ignore"):
            finite = np.isfinite(out.sum()) and max(out.max(), -out.min()) <= LARGEST
        if not finite:
            self.refuse_values()
        return out

    def refuse_values(self) -> NoReturn:
        """Read everything, and raise `InputError` with what cannot be summed and where."""
        texts = [self._refusal(i, name) for i, name in enumerate(self.names)]
        if not any(texts):
            texts = [non_finite_text(name, 0, 0, 0) for name in self.names]
        raise InputError("; ".join(text for text in texts if text))

    def _refusal(self, i: int, name: str) -> str:
        """Return why a representation is refused, or nothing; as the pass in memory does."""
        step = max(1, COUNTED_BYTES // (8 * self.widths[i]))
        count, first, large = 0, (0, 0), False
        for start in range(0, self.n_examples, step):
            values = self.panel(i, start, min(start + step, self.n_examples))
            with np.errstate(over="ignore"):
                wrong = ~np.isfinite(values)
                large = large or bool((np.abs(values.astype(np.float64)) > LARGEST / 2).any())
            if count == 0 and wrong.any():
                row, column = np.argwhere(wrong)[0].tolist()
                first = start + row, column
            count += int(np.count_nonzero(wrong))
        return non_finite_text(name, count, *first) if count or large else ""


def read_ahead(
    load: Callable[[Position], Block], positions: Sequence[Position], threads: int
) -> Iterator[Block]:
    """Yield ``load(position)`` for each; with 2 threads, the next is loaded meanwhile."""
    if threads < 2 or len(positions) < 2:
        yield from map(load, positions)
        return
    from concurrent.futures import ThreadPoolExecutor  # takes milliseconds to import

    require_room(THREAD_BYTES, "reading ahead with a thread")
    with ThreadPoolExecutor(1, thread_name_prefix="fastcka-rows") as pool:

        def begin(position: Position) -> Any:
            # In a copy of the context, which says whether memory is checked.
            return pool.submit(copy_context().run, load, position)

        coming = begin(positions[0])
        for position in positions[1:]:
            block, coming = coming.result(), begin(position)
            yield block
            del block  # the next one needs its memory
        yield coming.result()
