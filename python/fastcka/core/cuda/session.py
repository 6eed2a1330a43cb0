"""One CUDA device: streams, events, and passes in flight. The one place that imports cupy.

    copy stream      | copy and centre group 1 | copy and centre group 2 | ...
    compute stream                             | products of group 1     | products of group 2 | ...

The two streams wait for each other by events, on the device; the host only waits for results. At
most two passes are in flight, each in separate memory, which is freed when its results have
arrived. The buffers that host data are copied to are freed at once: all memory comes from and goes
back to the pool of the copy stream, in its order. `submission` has how a pass is enqueued, and what
is done if memory is short.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from fastcka.core.cuda.card import CudaDevice
from fastcka.core.cuda.pending import Pending, cuda_errors
from fastcka.core.cuda.plan import CudaPlan
from fastcka.core.cuda.ring import PinnedRing, offsets_of
from fastcka.core.cuda.status import NO_CUPY, compiled_pass
from fastcka.core.cuda.submission import ResidentPasses, Submission
from fastcka.core.views import ITEMSIZE, ArrayView, View
from fastcka.errors import DeviceError

if TYPE_CHECKING:
    from types import ModuleType

    from fastcka import _cuda

Progress = Callable[[int, int], None]


def import_cupy() -> Any:
    """The library that holds device memory and streams, or a `DeviceError` that says why not."""
    try:
        import cupy
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == "cupy"
        raise DeviceError(NO_CUPY if missing else f"cupy cannot be imported: {error}") from error
    return cupy


def read_dlpack(x: Any, name: str) -> tuple[Any, Any]:
    """Another library's array on a device as cupy (returned too) sees it, without a copy.

    The producer makes cupy's current stream wait for the work that writes the array.
    """
    _, index = x.__dlpack_device__()
    try:
        cupy = import_cupy()
        with cupy.cuda.Device(int(index)):
            return cupy, cupy.from_dlpack(x)
    except (DeviceError, RuntimeError, BufferError, TypeError, ValueError) as error:
        raise DeviceError(
            f"{name} is on a device (DLPack type 2, index {int(index)}), and cannot be read "
            f"there: {error}; or copy it to the host first"
        ) from error


class CudaSession:
    """Streams, buffers and cuBLAS for passes on one device; a context manager that closes it.

    May be used from several threads: submitting takes turns, waiting does not.

    Attributes
    ----------
    copy, compute
        Host data are copied and centred on the first stream, and multiplied on the second.
    ring
        The buffers through which host data go.
    passes
        The passes of earlier submissions, with their CUDA graphs.
    """

    def __init__(self, module: ModuleType, device: CudaDevice, cublas: _cuda.Cublas) -> None:
        self.device = device
        self.cublas = cublas
        self.module = module
        self.compiled = compiled_pass(module)
        self.cupy = import_cupy()
        self.passes = ResidentPasses(module, device, cublas)
        self._lock = threading.RLock()
        self._in_flight: deque[Pending] = deque()
        with self.current():
            self.compute = self.cupy.cuda.Stream(non_blocking=True)
            self.copy = self.cupy.cuda.Stream(non_blocking=True)
            self.ring = PinnedRing(self.cupy, self.copy)
        cublas.start(device.index)  # takes memory of the device: before passes take the rest

    def __enter__(self) -> CudaSession:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait for what is in flight, and let go of everything but the memory in cupy's pool."""
        with self._lock:
            self.settle(keep=0)
            self.passes.clear()
            with self.current(), cuda_errors(self.device):
                self.copy.synchronize()  # memory is free when the stream gets there

    def submit(
        self,
        views: Sequence[View],
        names: Sequence[str],
        plan: CudaPlan,
        *,
        progress: Progress | None = None,
    ) -> Pending:
        """Enqueue a pass and return; host memory has been read by then.

        Device arrays must not be written to before the result is there, except by work on the
        stream that was current when they were viewed. If memory is short, the pass waits for
        the one before it, then takes smaller tiles, then blocks of representations.

        Raises
        ------
        DeviceError
            If the memory of the device does not suffice for two representations at a time.
        """
        with self._lock:
            self.settle(keep=1)
            return Submission(self, views, names, progress).run(plan)

    def settle(self, *, keep: int) -> bool:
        """Wait until at most ``keep`` passes are in flight; whether there were any before."""
        any_before = bool(self._in_flight)
        self._in_flight = deque(pending for pending in self._in_flight if pending.running)
        while len(self._in_flight) > keep:
            self._in_flight[0].settle()
            self._in_flight.popleft()
        return any_before

    def add(self, pending: Pending) -> None:
        """Count a pass among those in flight."""
        self._in_flight.append(pending)

    @contextmanager
    def current(self) -> Iterator[Any]:
        """Make the device the current one."""
        device = self.cupy.cuda.Device(self.device.index)
        with device:
            yield device

    def mark(self, stream: int) -> Any:
        """An event that is done when the stream of that handle gets to this point."""
        event = self.cupy.cuda.Event(block=False, disable_timing=True)
        self.cupy.cuda.runtime.eventRecord(event.ptr, stream)
        return event

    def make_wait(self, stream: int, event: Any) -> None:
        """Let the later work of the stream of that handle wait for an event."""
        # By handles: cupy 14 deprecates ExternalStream, and cupy 13 has no Stream.from_external.
        self.cupy.cuda.runtime.streamWaitEvent(stream, event.ptr)

    def upload(self, views: Sequence[ArrayView], threads: int) -> tuple[Any, list[_cuda.View]]:
        """Enqueue the copy of the first host arrays, as many as fit into a pinned buffer.

        Returns the memory that they are copied to, and their views there.
        """
        count = self.ring.batch(views)
        try:
            memory = self._alloc(views[:count])
        except MemoryError:
            count = 1
            memory = self._alloc(views[:count])
        self.ring.upload(views[:count], memory.ptr, threads)
        return memory, [
            self.module.View(
                address=memory.ptr + offset,
                row_stride=view.n_features * ITEMSIZE[view.dtype],
                column_stride=ITEMSIZE[view.dtype],
                dtype=view.dtype,
            )
            for view, offset in zip(views[:count], offsets_of(views), strict=False)
        ]

    def _alloc(self, views: Sequence[ArrayView]) -> Any:
        with self.copy:
            return self.cupy.cuda.alloc(offsets_of(views)[-1])

    def fetch(self, resident: _cuda.Pass, arrived: Any) -> Any:
        """Enqueue the copy of the results to the host; an event that is done when they arrived."""
        runtime = self.cupy.cuda.runtime
        address, size = resident.results
        runtime.memcpyAsync(
            arrived.ptr, address, size, runtime.memcpyDeviceToHost, self.compute.ptr
        )
        return self.mark(self.compute.ptr)

    def free_bytes(self) -> int:
        """Bytes that are free on the device when all memory has been given back."""
        with self.current() as device, cuda_errors(self.device):
            self.copy.synchronize()  # memory is free when the stream gets there
            return int(device.mem_info[0])

    def stop(self) -> None:
        """Wait for both streams, even failed ones: memory that they use is about to be freed."""
        with suppress(RuntimeError):
            self.copy.synchronize()
            self.compute.synchronize()
