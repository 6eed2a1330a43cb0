"""What a pass on a CUDA device needs, and what is missing, in words."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fastcka.core.cuda.card import CudaDevice
from fastcka.core.cuda.plan import CompiledPass, PassBytes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

NO_CUPY = (
    "cupy is not installed: pip install 'fastcka[cuda13]' installs it "
    "('fastcka[cuda12]' for a driver of CUDA 12)"
)


@dataclass(frozen=True)
class CudaStatus:
    """What was built and what was found. `reason`: why `usable` is false, else None.

    Versions are those of CUDA: 13000 is 13.0; 0 means that there is none.
    """

    built: bool
    usable: bool
    reason: str | None
    compiler: str | None = None
    architectures: str | None = None
    driver: int = 0
    runtime: int = 0
    cupy: str | None = None
    cublas_path: str | None = None
    cublas_version: int = 0
    devices: tuple[CudaDevice, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The status as JSON-able values."""
        return asdict(self)


def find_devices(module: ModuleType) -> tuple[tuple[CudaDevice, ...], str | None]:
    """The devices, and if there are none the reason."""
    status = module.status()
    if status["driver"] == 0:
        return (), "there is no CUDA driver here" + (
            f" ({status['error']})" if status["error"] else ""
        )
    if status["error"]:
        return (), f"CUDA finds no device: {status['error']}"
    devices = tuple(
        CudaDevice(
            device["index"],
            device["name"],
            tuple(device["capability"]),
            device["multiprocessors"],
            device["total_bytes"],
        )
        for device in status["devices"]
    )
    return devices, None if devices else "the CUDA driver is here, but no device"


def compiled_pass(module: ModuleType) -> CompiledPass:
    """What the planner must know of the passes of the compiled module."""

    @lru_cache(maxsize=256)
    def known(n: int, widths: tuple[int, ...], settings: tuple[tuple[str, Any], ...]) -> PassBytes:
        return PassBytes(**module.bytes_needed(n, widths, **dict(settings)))

    def bytes_needed(n: int, widths: Sequence[int], settings: dict[str, Any]) -> PassBytes:
        return known(n, tuple(widths), tuple(settings.items()))

    return CompiledPass(
        bytes_needed, module.example_grain, module.feature_grain, module.prepared_bytes
    )


def cupy_is_there() -> bool:
    """Whether cupy can be found; it is not imported, which takes 0.6 s."""
    return "cupy" in sys.modules or importlib.util.find_spec("cupy") is not None


def cuda_version_text(number: int) -> str:
    """CUDA's 13010 is "13.1"."""
    return f"{number // 1000}.{number % 1000 // 10}"


def cublas_version_text(number: int) -> str:
    """The 130101 of cuBLAS is "13.1.1"."""
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"
