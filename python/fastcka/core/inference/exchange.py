"""Random permutations of the examples: of all, within blocks, or of whole blocks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice, permutations, product
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fastcka.core.inference.blocks import members_of
from fastcka.errors import InputError

Exchange = Literal["within", "whole"]
EXCHANGES: tuple[str, ...] = get_args(Exchange)

Permutations = NDArray[np.int32]

#: How random permutations are drawn, for the provenance.
GENERATOR = "numpy.random.Generator(numpy.random.PCG64(seed)).permutation, once for each draw"


class ExampleExchange:
    """Which examples are exchanged, and the permutations that follow.

    Attributes
    ----------
    n_distinct
        Number of distinct permutations, the identity among them.
    n_blocks
        Number of blocks; 0 if all examples are exchanged.

    Raises
    ------
    InputError
        The blocks do not have one label for each example, or allow no permutation.
    """

    def __init__(self, n: int, blocks: Any = None, exchange: Exchange | None = None) -> None:
        if blocks is not None and exchange not in EXCHANGES:
            raise InputError(
                f"exchange: with blocks, expected 'within' (examples change places inside their "
                f"block) or 'whole' (blocks of equal size change places); got {exchange!r}"
            )
        if blocks is None and exchange is not None:
            raise InputError(f"exchange={exchange!r} needs blocks: pass a label for each example")
        self._n = n
        self._whole = exchange == "whole"
        self._members = [np.arange(n)] if blocks is None else members_of(blocks, n)
        self.n_blocks = 0 if blocks is None else len(self._members)
        sizes = [len(rows) for rows in self._members]
        if self._whole:
            _require_equal_sizes(sizes)
            self.n_distinct = math.factorial(len(sizes))
        else:
            self.n_distinct = math.prod(math.factorial(size) for size in sizes)
        if self.n_distinct == 1:
            raise InputError(
                f"blocks: no permutation is possible, because "
                f"{'there is one block' if self._whole else 'every block has one example'}; "
                f"expected {'two blocks or more' if self._whole else 'blocks of two or more'}: "
                f"use exchange='{'within' if self._whole else 'whole'}', or other blocks"
            )
        self._rows = np.concatenate(self._members)
        self._block = np.empty(n, np.int64)  # of each example
        for block, rows in enumerate(self._members):
            self._block[rows] = block

    def batches(self, size: int, count: int | None, seed: int) -> Iterator[Permutations]:
        """Yield the identity and then ``count`` random permutations, or all without a count.

        Each batch has up to ``size`` permutations, (size, n_examples).
        """
        if count is None:
            every = self.all()
            while batch := list(islice(every, size)):
                yield np.stack(batch)
            return
        rng = np.random.Generator(np.random.PCG64(seed))
        identity = np.arange(self._n, dtype=np.int32)[None]
        yield np.concatenate([identity, self.draws(min(count, size - 1), rng)])
        for begin in range(size - 1, count, size):
            yield self.draws(min(count - begin, size), rng)

    def draws(self, count: int, rng: np.random.Generator) -> Permutations:
        """Return random permutations, (count, n_examples)."""
        drawn = np.empty((count, self._n), np.int32)
        for row in drawn:
            if self._whole:
                row[self._rows] = self._rows_of(rng.permutation(self.n_blocks))
                continue
            shuffled = rng.permutation(self._n)
            if self.n_blocks:  # sorted by block, so that examples move within their block only
                shuffled = shuffled[np.argsort(self._block[shuffled], kind="stable")]
                row[self._rows] = shuffled
            else:
                row[:] = shuffled
        return drawn

    def all(self) -> Iterator[NDArray[np.int32]]:
        """Yield every permutation once, the identity first."""
        row = np.empty(self._n, np.int32)
        if self._whole:
            for order in permutations(range(self.n_blocks)):
                row[self._rows] = self._rows_of(np.array(order))
                yield row.copy()
            return
        for orders in product(*(permutations(rows.tolist()) for rows in self._members)):
            row[self._rows] = [position for order in orders for position in order]
            yield row.copy()

    def _rows_of(self, order: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.stack(self._members)[order].ravel()


def _require_equal_sizes(sizes: list[int]) -> None:
    if min(sizes) != max(sizes):
        raise InputError(
            f"blocks: exchange='whole' expects blocks of equal size; got {min(sizes)} to "
            f"{max(sizes)} examples: leave examples out until all blocks have {min(sizes)}, or use "
            f"exchange='within'"
        )
