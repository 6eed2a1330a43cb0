"""Passes on one CUDA device: memory, streams and their order. The one place that imports cupy.

    copy stream      | copy and centre group 1 | copy and centre group 2 | ...
    compute stream                             | products of group 1     | products of group 2 | ...

The two streams wait for each other by events, on the device; the host only waits for results. At
most two passes are in flight, each in memory of its own, which is freed when its results have
arrived. The buffers that host data are copied to are freed at once: all memory comes from and goes
back to the pool of the copy stream, in its order.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fastcka.core.cuda.blocks import Part, assemble, block_counts, unions_of_blocks
from fastcka.core.cuda.pending import Pending, Running, cuda_errors, with_far
from fastcka.core.cuda.plan import BytesNeeded, CudaDevice, CudaPlan, smaller_tiles, with_tile
from fastcka.core.cuda.ring import PinnedRing
from fastcka.core.cuda.status import NO_CUPY, bytes_needed_by
from fastcka.core.views import ITEMSIZE, ArrayView, DeviceView, View
from fastcka.errors import DeviceError

if TYPE_CHECKING:
    from types import ModuleType, TracebackType

    from fastcka import _cuda

Progress = Callable[[int, int], None]

#: Passes that are kept for their CUDA graphs, by shape and memory.
KEPT_PASSES = 16


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
            f"{name} lies on a device (DLPack type 2, index {int(index)}), and cannot be read "
            f"there: {error}; or copy it to the host first"
        ) from error


class CudaSession:
    """Streams, buffers and cuBLAS for passes on one device; a context manager that closes it.

    May be used from several threads: submitting takes turns, waiting does not.
    """

    def __init__(self, module: ModuleType, device: CudaDevice, cublas: _cuda.Cublas) -> None:
        self.device = device
        self.cublas = cublas
        self._module = module
        self._cupy = import_cupy()
        self._lock = threading.RLock()
        self._in_flight: deque[Pending] = deque()
        self._passes: OrderedDict[tuple[Any, ...], _cuda.Pass] = OrderedDict()
        with self._current():
            self._compute = self._cupy.cuda.Stream(non_blocking=True)
            self._copy = self._cupy.cuda.Stream(non_blocking=True)
            self._ring = PinnedRing(self._cupy, self._copy)
        cublas.start(device.index)  # takes memory of the device: before passes take the rest

    def __enter__(self) -> CudaSession:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Wait for what is in flight, and let go of everything but the memory in cupy's pool."""
        with self._lock:
            self._settle(keep=0)
            self._passes.clear()
            with self._current(), cuda_errors(self.device):
                self._copy.synchronize()  # what was freed is free when it has come so far

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
        stream that was current when they were viewed. Where memory is short, the pass waits for
        the one before it, then takes smaller tiles, then blocks of representations.

        Raises
        ------
        DeviceError
            If the memory of the device does not even do for two representations at a time.
        """
        with self._lock:
            self._settle(keep=1)
            tiles = smaller_tiles(plan.tile)
            for tile in tiles:
                smaller = self._with_tile(plan, tile)
                pending = self._attempt(views, names, smaller, progress)
                if pending is not None:
                    return pending
            return self._submit_blocks(views, names, plan, tiles, progress)

    def _submit_blocks(
        self,
        views: Sequence[View],
        names: Sequence[str],
        plan: CudaPlan,
        tiles: Sequence[int],
        progress: Progress | None,
    ) -> Pending:
        m = len(views)
        least = plan
        for count in block_counts(m):
            unions = unions_of_blocks(m, count)
            for tile in tiles:
                parts: list[Part] = []
                far: set[int] = set()
                for union in unions:
                    least = self._with_tile(
                        replace(plan, n_features=tuple(plan.n_features[i] for i in union)), tile
                    )
                    pending = self._attempt(
                        [views[i] for i in union], [names[i] for i in union], least, None
                    )
                    if pending is None:
                        break
                    parts.append(Part(union, pending.result()))
                    far.update(pending.far)
                    if progress is not None:
                        progress(len(parts), len(unions))
                if len(parts) == len(unions):
                    ran = replace(
                        with_tile(plan, tile, self.bytes_needed),
                        reason=f"{plan.reason}; in {len(unions)} passes over two of {count} blocks "
                        f"of representations and with tile {tile}: device memory is short",
                    )
                    return Pending(with_far(ran, far), names, assemble(m, parts))
        with self._current() as device, cuda_errors(self.device):
            self._copy.synchronize()  # what was freed is free when it has come so far
            free, _ = device.mem_info
        whole = plan.bytes_centered + plan.bytes_workspace + plan.bytes_results
        smallest = least.bytes_centered + least.bytes_workspace + least.bytes_results
        raise DeviceError(
            f"{self.device} has {free} of {self.device.total_bytes} bytes free: the pass over {m} "
            f"representations of {plan.n_examples} examples asked for {whole} bytes, and for "
            f"{smallest} bytes in the smallest pieces, beside the data of one representation; "
            f"free memory there, take fewer examples, or compute on 'cpu'"
        )

    def _with_tile(self, plan: CudaPlan, tile: int) -> CudaPlan:
        smaller = with_tile(plan, tile, self.bytes_needed)
        if tile == plan.tile:
            return smaller
        words = f"; tile {tile} instead of {plan.tile}: device memory is short"
        return replace(smaller, reason=plan.reason + words)

    @property
    def bytes_needed(self) -> BytesNeeded:
        """The memory of a pass, as the compiled module lays it out."""
        return bytes_needed_by(self._module)

    def _attempt(
        self,
        views: Sequence[View],
        names: Sequence[str],
        plan: CudaPlan,
        progress: Progress | None,
    ) -> Pending | None:
        """Enqueue the pass; None if its memory is not to be had, even with nothing in flight."""
        while True:
            try:
                pending = Pending(plan, names, self._enqueue(views, plan, progress))
            except MemoryError:  # of cupy's pool, of CUDA or of cuBLAS
                if not self._in_flight:
                    return None
                self._settle(keep=0)
            else:
                self._in_flight.append(pending)
                return pending

    def _enqueue(self, views: Sequence[View], plan: CudaPlan, progress: Progress | None) -> Running:
        with self._current():
            try:
                work, memory = self._begin(views, plan)
                done = 0
                while done < len(views):
                    with cuda_errors(self.device):
                        done += self._prepare(work, done, views)
                    if progress is not None:
                        progress(done, len(views) + 1)
                return self._finish(work, memory, views)
            except BaseException:
                # What was enqueued still uses memory that is about to be freed.
                with suppress(RuntimeError):
                    self._copy.synchronize()
                    self._compute.synchronize()
                raise

    def _begin(self, views: Sequence[View], plan: CudaPlan) -> tuple[_cuda.Pass, Any]:
        total = plan.bytes_centered + plan.bytes_workspace + plan.bytes_results
        with cuda_errors(self.device):
            # Of the stream that touches it first; the compute stream waits for that one.
            with self._copy:
                memory = self._cupy.cuda.alloc(total)
            for producer in self._producers(views):
                self._copy.wait_event(self._mark(producer))
            return self._pass_in(memory.ptr, total, plan), memory

    def _prepare(self, work: _cuda.Pass, first: int, views: Sequence[View]) -> int:
        """Enqueue the centring of one host array, or of all on the device up to the next of these.

        Returns how many they are.
        """
        view = views[first]
        if isinstance(view, ArrayView):
            self._copy_and_prepare(work, first, view)
            return 1
        sources = []
        for view in views[first:]:
            if not isinstance(view, DeviceView):
                break
            sources.append((view.address, view.row_stride, view.column_stride, view.dtype))
        work.prepare(first, sources, self._copy.ptr)
        return len(sources)

    def _finish(self, work: _cuda.Pass, memory: Any, views: Sequence[View]) -> Running:
        with cuda_errors(self.device):
            prepared = self._mark(self._copy)
            # Producers wait too, before they write there again.
            for stream in (self._compute, *self._producers(views)):
                stream.wait_event(prepared)
            work.sums(self._compute.ptr)
            _, size = work.results
            arrived = self._cupy.cuda.alloc_pinned_memory(size)
            owners = tuple(view.owner for view in views if isinstance(view, DeviceView))
            done = self._fetch(work, arrived)

            def add_far(far: Sequence[int]) -> Any:
                with self._current():
                    work.add_far(far, self._compute.ptr)
                    return self._fetch(work, arrived)

            return Running(self._cupy, memory, owners, done, arrived, size, add_far)

    def _fetch(self, work: _cuda.Pass, arrived: Any) -> Any:
        """Enqueue the copy of the results to the host; an event that is done when they arrived."""
        runtime = self._cupy.cuda.runtime
        address, size = work.results
        runtime.memcpyAsync(
            arrived.ptr, address, size, runtime.memcpyDeviceToHost, self._compute.ptr
        )
        return self._mark(self._compute)

    def _producers(self, views: Sequence[View]) -> list[Any]:
        handles = {view.stream for view in views if isinstance(view, DeviceView)}
        return [
            self._cupy.cuda.ExternalStream(handle, self.device.index) for handle in sorted(handles)
        ]

    def _copy_and_prepare(self, work: _cuda.Pass, position: int, view: ArrayView) -> None:
        item = ITEMSIZE[view.dtype]
        with self._copy:
            raw = self._cupy.cuda.alloc(view.n_examples * view.n_features * item)
        self._ring.upload(view, raw.ptr)
        source = (raw.ptr, view.n_features * item, item, view.dtype)
        work.prepare(position, [source], self._copy.ptr)

    def _pass_in(self, address: int, size: int, plan: CudaPlan) -> _cuda.Pass:
        """The pass of this shape in this memory, with its CUDA graph if it ran before."""
        key = (address, plan.n_examples, plan.n_features, *plan.layout.values())
        found = self._passes.pop(key, None)
        if found is None:
            found = self._module.Pass(
                self.cublas,
                self.device.index,
                plan.n_examples,
                plan.n_features,
                **plan.layout,
                memory=address,
                bytes=size,
            )
        self._passes[key] = found
        if len(self._passes) > KEPT_PASSES:
            self._passes.popitem(last=False)
        return found

    def _mark(self, stream: Any) -> Any:
        """An event that is done when the stream has come so far."""
        event = self._cupy.cuda.Event(block=False, disable_timing=True)
        stream.record(event)
        return event

    def _settle(self, *, keep: int) -> None:
        self._in_flight = deque(pending for pending in self._in_flight if pending.running)
        while len(self._in_flight) > keep:
            self._in_flight[0].settle()
            self._in_flight.popleft()

    @contextmanager
    def _current(self) -> Iterator[Any]:
        device = self._cupy.cuda.Device(self.device.index)
        with device:
            yield device
