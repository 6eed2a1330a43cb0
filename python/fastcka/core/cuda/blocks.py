"""Blocks of representations, for what does not fit a device's memory at once.

A pass over the union of two blocks gives the sums of all pairs in it. The passes over all pairs of
blocks together give those of all pairs of representations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from fastcka.core.sums import Sums


@dataclass(frozen=True)
class Part:
    """The sums of some of the representations."""

    positions: tuple[int, ...]
    sums: Sums


def block_counts(m: int) -> Iterator[int]:
    """Numbers of blocks to try for m representations: two of them hold less and less of all."""
    count = 3
    while count < m:
        yield count
        count += (count + 1) // 2
    if m > 2:
        yield m


def unions_of_blocks(m: int, count: int) -> list[tuple[int, ...]]:
    """The positions of each pair of ``count`` blocks of neighbours among m representations."""
    blocks = np.array_split(np.arange(m), count)
    return [tuple(map(int, np.concatenate(pair))) for pair in combinations(blocks, 2)]


def assemble(m: int, parts: Sequence[Part]) -> Sums:
    """The sums of m representations from parts in which every pair occurs."""
    first = parts[0].sums
    matrices: dict[str, Any] = {
        name: np.empty((m, m)) for name in ("s0", "norms", "q_products", "r_products")
    }
    vectors: dict[str, Any] = {
        name: np.empty(m) for name in ("q_totals", "r_totals", "summed", "near_norms")
    }
    exponent = np.empty(m, first.exponent.dtype)
    constant = [False] * m
    for part in parts:
        positions = list(part.positions)
        for name, matrix in matrices.items():
            matrix[np.ix_(positions, positions)] = getattr(part.sums, name)
        for name, vector in vectors.items():
            vector[positions] = getattr(part.sums, name)
        exponent[positions] = part.sums.exponent
        for position, flat in zip(positions, part.sums.constant, strict=True):
            constant[position] = flat
    return replace(first, **matrices, **vectors, exponent=exponent, constant=tuple(constant))
