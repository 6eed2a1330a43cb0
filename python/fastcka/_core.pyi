"""The compiled pass; see csrc/bindings.cpp."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcka.core.implementation import Products

version: str
compiler: str
staging_lanes: int
gram_product_steps: int
most_kept: int
far_from: float
feature_product_steps: int

class ProductShape:
    def __init__(
        self,
        *,
        products: Products,
        lanes: int,
        rows: int,
        step: int,
        values: int,
        cell_bytes: int,
        sum_bytes: int,
        arranged_bytes: int = 0,
        in_place: bool = False,
    ) -> None: ...
    @property
    def products(self) -> Products: ...
    @property
    def lanes(self) -> int: ...
    @property
    def rows(self) -> int: ...
    @property
    def step(self) -> int: ...
    @property
    def values(self) -> int: ...
    @property
    def sum_bytes(self) -> int: ...
    @property
    def arranged_bytes(self) -> int: ...
    @property
    def in_place(self) -> bool: ...

class View:
    def __init__(
        self,
        address: int,
        n: int,
        d: int,
        row_stride: int,
        column_stride: int,
        dtype: str,
        staged: bool,
    ) -> None: ...

class Task:
    def __init__(
        self,
        views: Sequence[View],
        route: str,
        tile: int,
        chunk: int,
        batch: int,
        implementation: str,
        products: str,
        moment_routes: Sequence[str],
        folds: Sequence[int] = ...,
        nested: bool = ...,
    ) -> None: ...

class PlainPass:
    def __init__(self, task: Task, *, zero: float, condition: float, excess: float) -> None: ...
    def run(
        self, arrays: Sequence[NDArray[Any]], with_sums: bool
    ) -> (
        tuple[
            NDArray[np.float64],
            NDArray[np.float64],
            NDArray[np.float64],
            NDArray[np.float64],
            dict[str, Any] | None,
        ]
        | None
    ): ...

class Permuted:
    def __init__(
        self,
        views: Sequence[View],
        *,
        estimator: str,
        implementation: str,
        products: str,
        threads: int,
        progress: Callable[[int, int], None] | None,
    ) -> None: ...
    def similarities(
        self,
        permutations: NDArray[np.int32],
        *,
        threads: int,
        progress: Callable[[int, int], None] | None,
    ) -> NDArray[np.float64]: ...

most_permuted: int

def permuted_gram_bytes(n: int, m: int, value_bytes: int) -> int: ...
def permuted_thread_bytes(n: int, m: int, count: int, value_bytes: int) -> int: ...
def implementations() -> list[dict[str, Any]]: ...
def measure_speed(implementation: str, products: str, threads: int) -> dict[str, float]: ...
def release_kept() -> int: ...
def most_far(n: int) -> int: ...
def gain_of(implementation: str, products: str) -> float: ...
def gather(
    views: Sequence[View],
    *,
    offsets: Sequence[int],
    out: NDArray[np.uint8],
    threads: int,
) -> None: ...
def bytes_needed(
    n: int,
    widths: Sequence[int],
    *,
    route: str,
    tile: int,
    chunk: int,
    batch: int,
    in_place: bool,
    moment_routes: Sequence[str],
    subsets: int = ...,
    shape: ProductShape,
) -> dict[str, int]: ...
def estimate(
    estimator: str,
    n: int,
    s0: NDArray[np.float64],
    norms: NDArray[np.float64],
    r_products: NDArray[np.float64],
    r_totals: NDArray[np.float64],
    q_products: NDArray[np.float64] | None,
    q_totals: NDArray[np.float64] | None,
    summed: NDArray[np.float64],
    near_norms: NDArray[np.float64],
    exponent: NDArray[np.int32],
    zero: float,
    condition: float,
    excess: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[int], tuple[int, int, float] | None]: ...
def run(
    tasks: Sequence[Task],
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
