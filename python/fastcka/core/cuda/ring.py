"""From host memory to a device through a ring of pinned buffers.

A copy from pinned memory overlaps everything else, at the full rate of the bus; the processor
fills the next buffer meanwhile. Four buffers of 8 MiB are enough to keep both busy.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcka.core.views import ITEMSIZE, ArrayView

BUFFERS = 4
BUFFER_BYTES = 8 << 20

#: An event is asked for without pause for so long, then every so often: short waits cost no sleep,
#: long ones no processor, and Ctrl-C ends either, which it does not in a wait inside CUDA.
SPIN_SECONDS = 2e-3
SLEEP_SECONDS = 5e-4


#: What cudaEventQuery says of an event that is not done; anything but this and 0 is an error.
NOT_READY = 600


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


class PinnedRing:
    """Pinned buffers in turn, copied from on one stream of the current device."""

    def __init__(self, cupy: Any, stream: Any) -> None:
        self._cupy = cupy
        self._stream = stream
        self._buffers: list[_Buffer] = []
        self._turn = 0

    def upload(self, view: ArrayView, address: int) -> None:
        """Enqueue the copy of a view to device memory at ``address``, as contiguous rows.

        All of the view has been read when this returns.
        """
        source = _array_of(view)
        n, d = source.shape
        item = source.itemsize
        columns = min(d, BUFFER_BYTES // item)
        rows = BUFFER_BYTES // (columns * item)  # 1 where columns < d: either is contiguous
        runtime = self._cupy.cuda.runtime
        for row in range(0, n, rows):
            for column in range(0, d, columns):
                block = source[row : row + rows, column : column + columns]
                buffer = self._next()
                staged = buffer.array[: block.nbytes].view(source.dtype)
                np.copyto(staged.reshape(block.shape), block)
                runtime.memcpyAsync(
                    address + (row * d + column) * item,
                    buffer.memory.ptr,
                    block.nbytes,
                    runtime.memcpyHostToDevice,
                    self._stream.ptr,
                )
                self._stream.record(buffer.copied)

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


class _Memory:
    """A view's memory by NumPy's array protocol, as unsigned integers: NumPy knows no bfloat16."""

    def __init__(self, view: ArrayView) -> None:
        self.owner = view.owner
        self.__array_interface__ = {
            "version": 3,
            "shape": (view.n_examples, view.n_features),
            "typestr": np.dtype(f"u{ITEMSIZE[view.dtype]}").str,
            "data": (view.address, True),
            "strides": (view.row_stride, view.column_stride),
        }


def _array_of(view: ArrayView) -> NDArray[Any]:
    return np.asarray(_Memory(view))
