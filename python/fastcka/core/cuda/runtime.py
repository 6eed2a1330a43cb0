"""The CUDA part of this build in this process: its devices, cuBLAS, and a session for each device.

Everything happens on first use, because most processes never compute on a GPU.
"""

from __future__ import annotations

import threading
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from fastcka.core.base_plan import Precision
from fastcka.core.cuda.card import CudaDevice
from fastcka.core.cuda.library import cublas_candidates
from fastcka.core.cuda.plan import CompiledPass, CudaPlan, make_cuda_plan
from fastcka.core.cuda.session import CudaSession, import_cupy
from fastcka.core.cuda.status import (
    NO_CUPY,
    CudaStatus,
    compiled_pass,
    cupy_is_there,
    find_devices,
)
from fastcka.errors import DeviceError

if TYPE_CHECKING:
    from types import ModuleType

    from fastcka import _cuda


class CudaRuntime:
    """The compiled module, or the reason why there is none, and what is opened by it."""

    def __init__(self, module: ModuleType | None, reason: str | None) -> None:
        self._module = module
        self._reason = reason
        self._sessions: dict[int, CudaSession] = {}
        self._lock = threading.Lock()
        #: The plan of a shape; cached, because planning takes as long as a small pass.
        self.plan = lru_cache(maxsize=256)(self._plan)

    def _plan(
        self,
        n_examples: int,
        n_features: tuple[int, ...],
        itemsizes: tuple[int, ...],
        on_device: tuple[bool, ...],
        device: CudaDevice,
        precision: Precision,
        device_reason: str,
        auto: bool,
        threads: int,
    ) -> CudaPlan:
        return make_cuda_plan(
            n_examples,
            n_features,
            itemsizes=itemsizes,
            on_device=on_device,
            device=device,
            precision=precision,
            compiled=self.compiled,
            device_reason=device_reason,
            auto=auto,
            threads=threads,
        )

    @cached_property
    def _usable(self) -> tuple[tuple[CudaDevice, ...], str | None]:
        return ((), self._reason) if self._module is None else find_devices(self._module)

    @property
    def devices(self) -> tuple[CudaDevice, ...]:
        """The devices that can be used, by index; none if the module or the driver is missing."""
        return self._usable[0]

    @property
    def why_not(self) -> str | None:
        """Why no device can be used, as far as is known without opening libraries."""
        return self._usable[1] or (None if cupy_is_there() else NO_CUPY)

    @property
    def started(self) -> bool:
        """Whether a session is open, so that the next pass pays for no start."""
        return bool(self._sessions)

    @property
    def module(self) -> ModuleType:
        """The compiled module, or a `DeviceError` with the reason why there is none."""
        if self._module is None:
            raise DeviceError(f"CUDA cannot be used: {self._reason}")
        return self._module

    @cached_property
    def compiled(self) -> CompiledPass:
        """What the planner must know of the compiled passes."""
        return compiled_pass(self.module)

    def device(self, index: int) -> CudaDevice:
        """The device of that index, or a `DeviceError` with the reason why it cannot be used."""
        wanted = f"device 'cuda:{index}' cannot be used"
        if self.why_not is not None:
            raise DeviceError(f"{wanted}: {self.why_not}; choose 'cpu' or 'auto'")
        for device in self.devices:
            if device.index == index:
                return device
        there = ", ".join(map(str, self.devices))
        raise DeviceError(f"{wanted}: there is no such device; there is {there}")

    def session(self, index: int) -> CudaSession:
        """The session of a device, opened on first use and kept: it holds cuBLAS and graphs."""
        device = self.device(index)
        with self._lock:
            if index not in self._sessions:
                try:
                    self._sessions[index] = CudaSession(self.module, device, self._cublas)
                # A DeviceError is a RuntimeError too: cupy that cannot be imported.
                except (RuntimeError, MemoryError) as error:
                    raise DeviceError(f"device 'cuda:{index}' cannot be used: {error}") from error
            return self._sessions[index]

    @cached_property
    def _cublas(self) -> _cuda.Cublas:
        # After cupy, whose copy of the library is then found among those that are loaded.
        import_cupy()
        cublas: _cuda.Cublas = self.module.Cublas(cublas_candidates())
        return cublas

    def status(self) -> CudaStatus:
        """All that there is to know; opens the libraries (a second), and never raises."""
        module = self._module
        if module is None:
            return CudaStatus(built=False, usable=False, reason=self._reason)
        status = module.status()
        reason, cupy, path, version = self._usable[1], None, None, 0
        try:
            cupy = str(import_cupy().__version__)
        except DeviceError as error:
            reason = reason or str(error)
        if reason is None:
            try:
                path, version = self._cublas.path, self._cublas.version
            except RuntimeError as error:
                reason = str(error)
        return CudaStatus(
            built=True,
            usable=reason is None,
            reason=reason,
            compiler=module.compiler,
            architectures=module.architectures,
            driver=status["driver"],
            runtime=status["runtime"],
            cupy=cupy,
            cublas_path=path,
            cublas_version=version,
            devices=self.devices,
        )

    def close(self) -> None:
        """Close all sessions; the next pass opens them anew."""
        with self._lock:
            while self._sessions:
                self._sessions.popitem()[1].close()
