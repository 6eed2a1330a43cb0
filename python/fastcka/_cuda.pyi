"""The compiled pass on CUDA devices; see csrc/cuda/bindings.cpp. Not in every build."""

from collections.abc import Sequence
from typing import Any

version: str
architectures: str
compiler: str
example_grain: int
feature_grain: int
too_large: int
prepared_bytes: dict[str, int]

def status() -> dict[str, Any]: ...
def bytes_needed(
    n: int,
    widths: Sequence[int],
    *,
    route: str,
    tile: int,
    chunk: int,
    rank_chunk: int,
    products: str,
    tiles: str,
) -> dict[str, int]: ...

class Cublas:
    path: str
    version: int
    def __init__(self, candidates: Sequence[str]) -> None: ...
    def start(self, device: int) -> None: ...

class View:
    def __init__(
        self, *, address: int, row_stride: int, column_stride: int, dtype: str
    ) -> None: ...

class Pass:
    results: tuple[int, int]
    result_fields: dict[str, dict[str, Any]]
    def __init__(
        self,
        cublas: Cublas,
        device: int,
        n: int,
        widths: Sequence[int],
        *,
        route: str,
        tile: int,
        chunk: int,
        rank_chunk: int,
        products: str,
        tiles: str,
        memory: int,
        bytes: int,  # noqa: A002
    ) -> None: ...
    def prepare(self, first: int, views: Sequence[View], stream: int) -> None: ...
    def sums(self, stream: int) -> None: ...
    def add_far(self, rows: Sequence[int], stream: int) -> None: ...
