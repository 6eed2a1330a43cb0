"""The compiled pass; see csrc/bindings.cpp."""

from collections.abc import Callable, Sequence
from typing import Any

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
