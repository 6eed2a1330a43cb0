"""How a pass is enqueued: in the memory that is free, and with the graph of an earlier pass.

If memory is short, a pass waits for the one before it. Then it takes smaller tiles. Then it is
split: passes over pairs of blocks of representations have the sums of all pairs between them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fastcka.core.cuda.blocks import Part, assemble, block_counts, unions_of_blocks
from fastcka.core.cuda.card import CudaDevice
from fastcka.core.cuda.pending import Pending, Running, cuda_errors, with_far
from fastcka.core.cuda.plan import CudaPlan, smaller_tiles, with_tile
from fastcka.core.views import ArrayView, DeviceView, View
from fastcka.errors import DeviceError

if TYPE_CHECKING:
    from types import ModuleType

    from fastcka import _cuda
    from fastcka.core.cuda.session import CudaSession

Progress = Callable[[int, int], None]

#: Passes that are kept for their CUDA graphs, by shape and memory.
KEPT_PASSES = 16


class ResidentPasses:
    """Passes by shape and memory, the latest `KEPT_PASSES`; each keeps its CUDA graph."""

    def __init__(self, module: ModuleType, device: CudaDevice, cublas: _cuda.Cublas) -> None:
        self._module = module
        self._device = device
        self._cublas = cublas
        self._passes: OrderedDict[tuple[Any, ...], _cuda.Pass] = OrderedDict()

    def __len__(self) -> int:
        return len(self._passes)

    def clear(self) -> None:
        """Let go of all."""
        self._passes.clear()

    def take(self, address: int, plan: CudaPlan) -> _cuda.Pass:
        """The pass of this shape in the memory at ``address``, made if it did not run before."""
        key = (address, plan.n_examples, plan.n_features, *plan.settings.values())
        resident = self._passes.pop(key, None)
        if resident is None:
            resident = self._module.Pass(
                self._cublas,
                self._device.index,
                plan.n_examples,
                plan.n_features,
                **plan.settings,
                memory=address,
                bytes=plan.bytes_on_device,
            )
        self._passes[key] = resident
        if len(self._passes) > KEPT_PASSES:
            self._passes.popitem(last=False)
        return resident


class Submission:
    """Representations on their way to a device; `run` is called once, while no other one runs."""

    def __init__(
        self,
        session: CudaSession,
        views: Sequence[View],
        names: Sequence[str],
        progress: Progress | None,
    ) -> None:
        self._session = session
        self._views = views
        self._names = names
        self._progress = progress
        self._bytes_needed = session.compiled.bytes_needed

    def run(self, plan: CudaPlan) -> Pending:
        """Enqueue the pass; see `CudaSession.submit`."""
        everything = range(len(self._views))
        for tile in smaller_tiles(plan.tile):
            pending = self._attempt(everything, self._with_tile(plan, tile), self._progress)
            if pending is not None:
                return pending
        return self._in_blocks(plan)

    def _in_blocks(self, plan: CudaPlan) -> Pending:
        m = len(self._views)
        smallest = plan
        for count in block_counts(m):
            unions = unions_of_blocks(m, count)
            for tile in smaller_tiles(plan.tile):
                parts: list[Part] = []
                far: set[int] = set()
                for union in unions:
                    widths = tuple(plan.n_features[i] for i in union)
                    smallest = self._with_tile(replace(plan, n_features=widths), tile)
                    pending = self._attempt(union, smallest, None)
                    if pending is None:
                        break
                    parts.append(Part(union, pending.result()))
                    far.update(pending.far)
                    if self._progress is not None:
                        self._progress(len(parts), len(unions))
                if len(parts) == len(unions):
                    ran = replace(
                        with_tile(plan, tile, self._bytes_needed),
                        reason=f"{plan.reason}; in {len(unions)} passes over two of {count} blocks "
                        f"of representations and with tile {tile}: device memory is short",
                    )
                    return Pending(with_far(ran, far), self._names, assemble(m, parts))
        device = self._session.device
        raise DeviceError(
            f"{device} has {self._session.free_bytes()} of {device.total_bytes} bytes free: the "
            f"pass over {m} representations of {plan.n_examples} examples asked for "
            f"{plan.bytes_on_device} bytes, and for {smallest.bytes_on_device} bytes in the "
            f"smallest pieces, in addition to the data of one representation; "
            f"free memory there, take fewer examples, or compute on 'cpu'"
        )

    def _with_tile(self, plan: CudaPlan, tile: int) -> CudaPlan:
        smaller = with_tile(plan, tile, self._bytes_needed)
        if tile == plan.tile:
            return smaller
        words = f"; tile {tile} instead of {plan.tile}: device memory is short"
        return replace(smaller, reason=plan.reason + words)

    def _attempt(
        self, positions: Sequence[int], plan: CudaPlan, progress: Progress | None
    ) -> Pending | None:
        """Enqueue a pass; None if there is not enough memory, even with nothing in flight."""
        views, names = self._views, self._names
        if len(positions) < len(views):
            views, names = [views[i] for i in positions], [names[i] for i in positions]
        while True:
            try:
                pending = Pending(plan, names, self._enqueue(views, plan, progress))
            except MemoryError:  # of cupy's pool, of CUDA or of cuBLAS
                if not self._session.settle(keep=0):
                    return None
            else:
                self._session.add(pending)
                return pending

    def _enqueue(self, views: Sequence[View], plan: CudaPlan, progress: Progress | None) -> Running:
        session = self._session
        with session.current():
            try:
                producers = _producers(views)
                resident, memory = self._begin(producers, plan)
                done = 0
                while done < len(views):
                    with cuda_errors(session.device):
                        done += self._prepare(resident, done, views, plan.threads)
                    if progress is not None:
                        progress(done, len(views) + 1)
                with cuda_errors(session.device):
                    return self._finish(resident, memory, views, producers)
            except BaseException:
                session.stop()
                raise

    def _begin(self, producers: Sequence[int], plan: CudaPlan) -> tuple[_cuda.Pass, Any]:
        session = self._session
        with cuda_errors(session.device):
            # Memory belongs to the stream that touches it first; the compute stream waits for it.
            with session.copy:
                memory = session.cupy.cuda.alloc(plan.bytes_on_device)
            for producer in producers:
                session.make_wait(session.copy.ptr, session.mark(producer))
            return session.passes.take(memory.ptr, plan), memory

    def _prepare(
        self, resident: _cuda.Pass, first: int, views: Sequence[View], threads: int
    ) -> int:
        """Enqueue the centring of some host arrays, or of device arrays up to the next host array.

        Returns how many they are.
        """
        session = self._session
        hosts = []
        for view in views[first:]:
            if not isinstance(view, ArrayView):
                break
            hosts.append(view)
        if hosts:
            memory, copied = session.upload(hosts, threads)
            resident.prepare(first, copied, session.copy.ptr)
            del memory  # in the order of the stream
            return len(copied)
        arrays = []
        for view in views[first:]:
            if not isinstance(view, DeviceView):
                break
            arrays.append(
                session.module.View(
                    address=view.address,
                    row_stride=view.row_stride,
                    column_stride=view.column_stride,
                    dtype=view.dtype,
                )
            )
        resident.prepare(first, arrays, session.copy.ptr)
        return len(arrays)

    def _finish(
        self, resident: _cuda.Pass, memory: Any, views: Sequence[View], producers: Sequence[int]
    ) -> Running:
        session = self._session
        prepared = session.mark(session.copy.ptr)
        # Producers wait too, before they write there again.
        for stream in (session.compute.ptr, *producers):
            session.make_wait(stream, prepared)
        resident.sums(session.compute.ptr)
        _, size = resident.results
        arrived = session.cupy.cuda.alloc_pinned_memory(size)
        owners = tuple(view.owner for view in views if isinstance(view, DeviceView))

        def add_far(far: Sequence[int]) -> Any:
            with session.current():
                resident.add_far(far, session.compute.ptr)
                return session.fetch(resident, arrived)

        done = session.fetch(resident, arrived)
        session.ring.wait()
        too_large = session.module.too_large
        return Running(session.cupy, memory, owners, done, arrived, resident, too_large, add_far)


def _producers(views: Sequence[View]) -> list[int]:
    """The handles of the streams that write the device arrays among the views."""
    return sorted({view.stream for view in views if isinstance(view, DeviceView)})
