"""The memory into which groups are read."""

from __future__ import annotations

from weakref import finalize

import numpy as np
from numpy.typing import NDArray


class Buffers:
    """One buffer for all arrays of a group, used again for a later group of the same size.

    The system clears every page that it gives, which takes as long as reading the data. A group is
    read while the one before it is computed, so two buffers serve all groups of one size.
    """

    def __init__(self) -> None:
        self._spare: NDArray[np.uint8] | None = None
        self._size: int | None = None  # of the last buffer, and so of the spare one

    def take(self, count: int) -> NDArray[np.uint8]:
        """Return an uninitialised buffer of ``count`` bytes.

        It can be used again as soon as no array refers to it. Buffers of other sizes are freed
        then, and a spare one at once, so that at most the buffers in use are in memory.
        """
        self._size = count
        memory, self._spare = self._spare, None
        if memory is None or memory.size != count:
            del memory
            memory = np.empty(count, np.uint8)
        # Because of the memoryview in between, views of `buffer` refer to it and not to `memory`.
        buffer = np.frombuffer(memory.data, np.uint8)
        finalize(buffer, self._keep, memory).atexit = False
        return buffer

    def close(self) -> None:
        """Free the spare buffer, and each buffer in use as soon as no array refers to it."""
        self._size = self._spare = None

    def _keep(self, memory: NDArray[np.uint8]) -> None:
        if memory.size == self._size:
            self._spare = memory
