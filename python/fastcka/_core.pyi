"""The compiled pass; see csrc/bindings.cpp."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

version: str
compiler: str
staging_lanes: int

def implementations() -> list[dict[str, Any]]: ...
def measure_speed(implementation: str, products: str, threads: int) -> dict[str, float]: ...
def run(
    groups: Sequence[tuple[Any, ...]],
    *,
    threads: int,
    progress: Callable[[int, int], None] | None,
) -> list[dict[str, Any]]: ...
def read_rows(
    file: int,
    *,
    offsets: NDArray[np.int64],
    chunk_rows: int,
    n: int,
    stored: str,
    dataset: str,
    checksums: NDArray[np.uint64] | None,
    out: NDArray[Any],
    wanted: tuple[NDArray[np.int64], NDArray[np.int64]] | None,
    threads: int,
) -> tuple[str, int, int] | None: ...
def chunk_checksums(
    data: NDArray[np.uint8], *, chunk_bytes: int, dataset: str, first: int = 0
) -> NDArray[np.uint64]: ...
