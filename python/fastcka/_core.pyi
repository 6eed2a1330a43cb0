"""The compiled pass; see csrc/bindings.cpp."""

from collections.abc import Callable, Sequence
from typing import Any

version: str
compiler: str
staging_lanes: int

def implementations() -> list[dict[str, Any]]: ...
def measure_speed(implementation: str, products: str, threads: int) -> dict[str, float]: ...
def run(
    views: Sequence[tuple[int, int, int, int, int, str, bool]],
    *,
    route: str,
    tile: int,
    chunk: int,
    threads: int,
    implementation: str,
    products: str,
    progress: Callable[[int, int], None] | None,
) -> dict[str, Any]: ...
