"""A CUDA device as the planner sees it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CudaDevice:
    """A CUDA device: what plans depend on."""

    index: int
    name: str
    capability: tuple[int, int]
    multiprocessors: int
    total_bytes: int

    def __str__(self) -> str:
        return f"cuda:{self.index} {self.name}"
