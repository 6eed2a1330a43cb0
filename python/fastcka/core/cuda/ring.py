"""From host memory to a device through a ring of pinned buffers.

A copy from pinned memory overlaps everything else, at the full rate of the bus. Threads of the
processor fill the next buffer meanwhile, with as many arrays as it holds. Contiguous arrays that
are in pinned memory already are copied from there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcka.core.backend import gather
from fastcka.core.base_plan import ceil_div, round_up
from fastcka.core.views import ITEMSIZE, ArrayView

BUFFERS = 4
#: Large enough that starting the threads takes a small part of the time to fill it.
BUFFER_BYTES = 32 << 20
#: A thread copies at least this much, and at most this many threads copy. Not measured.
COPY_BYTES = 2 << 20
MOST_THREADS = 16
#: Each array begins at a multiple of it, in a buffer and on the device.
ALIGNMENT = 256

#: An event is asked for without pause for so long, then every so often: short waits cost no sleep,
#: long ones no processor, and Ctrl-C ends either, which it does not in a wait inside CUDA.
SPIN_SECONDS = 2e-3
SLEEP_SECONDS = 5e-4


#: What cudaEventQuery says of an event that is not done; anything but this and 0 is an error.
NOT_READY = 600
#: What cudaPointerGetAttributes says of pinned memory.
HOST_MEMORY = 1


def wait_for(cupy: Any, event: Any) -> None:
    """Return when the event is done; an interrupt, and an error of the device, are seen."""
    spin_until = time.perf_counter() + SPIN_SECONDS
    # Not event.done: it is False for ever on a device that has failed.
    while (status := cupy.cuda.runtime.eventQuery(event.ptr)) == NOT_READY:
        if time.perf_counter() > spin_until:
            time.sleep(SLEEP_SECONDS)
    if status != 0:
        event.synchronize()  # raises it with its name


@dataclass(frozen=True)
class _Buffer:
    memory: Any
    array: NDArray[np.uint8]
    copied: Any  # event: the device has read it


def bytes_of(view: ArrayView) -> int:
    """The bytes of a view's values without gaps."""
    return view.n_examples * view.n_features * ITEMSIZE[view.dtype]


def offsets_of(views: Sequence[ArrayView]) -> list[int]:
    """Where each view begins if they follow each other, and after them where the last one ends."""
    offsets = [0]
    for view in views:
        offsets.append(offsets[-1] + round_up(bytes_of(view), ALIGNMENT))
    return offsets


class PinnedRing:
    """Pinned buffers in turn, copied from on one stream of the current device."""

    def __init__(self, cupy: Any, stream: Any) -> None:
        self._cupy = cupy
        self._stream = stream
        self._buffers: list[_Buffer] = []
        self._turn = 0
        self._direct: Any = None  # event: the caller's pinned memory has been read

    def batch(self, views: Sequence[ArrayView]) -> int:
        """How many of the first views, at least one, are to be copied together."""
        size = 0
        for count, view in enumerate(views):
            if self._is_pinned(view):
                return max(1, count)
            size += round_up(bytes_of(view), ALIGNMENT)
            if count > 0 and size > BUFFER_BYTES:
                return count
        return len(views)

    def upload(self, views: Sequence[ArrayView], address: int, threads: int) -> None:
        """Enqueue the copy of a batch to device memory at ``address``, each as contiguous rows.

        Each view begins there at its place in `offsets_of`. All views but those in pinned memory
        have been read when this returns; `wait` returns when these have been read too.
        """
        if self._is_pinned(views[0]):
            self._enqueue(address, views[0].address, bytes_of(views[0]))
            if self._direct is None:
                self._direct = self._cupy.cuda.Event(block=False, disable_timing=True)
            self._stream.record(self._direct)
        elif len(views) > 1 or bytes_of(views[0]) <= BUFFER_BYTES:
            self._stage(views, address, threads)
        else:
            for view, offset in _pieces(views[0]):
                self._stage([view], address + offset, threads)

    def wait(self) -> None:
        """Return when the device has read the caller's pinned memory."""
        if self._direct is not None:
            event, self._direct = self._direct, None
            wait_for(self._cupy, event)

    def _stage(self, views: Sequence[ArrayView], address: int, threads: int) -> None:
        buffer = self._next()
        *offsets, end = offsets_of(views)
        size = offsets[-1] + bytes_of(views[-1])
        busy = min(threads, MOST_THREADS, ceil_div(end, COPY_BYTES))
        gather(views, offsets, buffer.array, busy)
        self._enqueue(address, buffer.memory.ptr, size)
        self._stream.record(buffer.copied)

    def _enqueue(self, to: int, begin: int, size: int) -> None:
        runtime = self._cupy.cuda.runtime
        runtime.memcpyAsync(to, begin, size, runtime.memcpyHostToDevice, self._stream.ptr)

    def _is_pinned(self, view: ArrayView) -> bool:
        """Whether the device can read all of a view in place, in one piece."""
        item = ITEMSIZE[view.dtype]
        if view.column_stride != item or view.row_stride != item * view.n_features:
            return False
        attributes = self._cupy.cuda.runtime.pointerGetAttributes
        ends = view.address, view.address + bytes_of(view) - 1
        return all(attributes(end).type == HOST_MEMORY for end in ends)

    def _next(self) -> _Buffer:
        if len(self._buffers) < BUFFERS:
            memory = self._cupy.cuda.alloc_pinned_memory(BUFFER_BYTES)
            event = self._cupy.cuda.Event(block=False, disable_timing=True)
            array = np.frombuffer(memory, np.uint8, BUFFER_BYTES)
            self._buffers.append(_Buffer(memory, array, event))
            return self._buffers[-1]
        buffer = self._buffers[self._turn]
        self._turn = (self._turn + 1) % BUFFERS
        wait_for(self._cupy, buffer.copied)
        return buffer


def _pieces(view: ArrayView) -> Iterator[tuple[ArrayView, int]]:
    """Blocks of a view that fit into a buffer, and where each begins among the rows without gaps.

    They are whole rows, or parts of one row.
    """
    n, d, item = view.n_examples, view.n_features, ITEMSIZE[view.dtype]
    columns = min(d, BUFFER_BYTES // item)
    rows = BUFFER_BYTES // (columns * item)  # 1 where columns < d: either is contiguous
    for row in range(0, n, rows):
        for column in range(0, d, columns):
            piece = view._replace(
                address=view.address + row * view.row_stride + column * view.column_stride,
                n_examples=min(rows, n - row),
                n_features=min(columns, d - column),
            )
            yield piece, (row * d + column) * item
