"""A pass that is on its way on a CUDA device, and how its results are read when they arrive."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcka.core.cuda.cost import CudaProducts
from fastcka.core.cuda.plan import CudaDevice, CudaPlan
from fastcka.core.cuda.ring import wait_for
from fastcka.core.estimators import Sums, non_finite_text
from fastcka.errors import DeviceError, FastckaError, InputError

#: Relative rounding of a product; two fp16 numbers hold 22 bits. Single ones hold 11, but as k is
#: that of the rounded rows, and the rounding of one value is independent of that of another, far
#: less of it is left in a sum (2e-5 of CKA for 64 examples of 4096 features).
EPSILON: dict[CudaProducts, float] = {
    "float32": 2.0**-23,
    "float16x3": 2.0**-21,
    "float16": 2.0**-15,
    "float64": 2.0**-52,
}
#: So many examples in one sum of the features route double its rounding; sums that are all rounded
#: alike (one-hot rows) leave 390 times the spacing of float32 for 1000 examples.
LONG_SUM = 32


@contextmanager
def cuda_errors(device: CudaDevice) -> Iterator[None]:
    """Errors of CUDA and cuBLAS as `DeviceError`, with the device."""
    try:
        yield
    except FastckaError:
        raise
    except RuntimeError as error:
        raise DeviceError(f"{device}: {error}") from error


@dataclass
class Running:
    """What a pass needs until its results have arrived."""

    cupy: Any
    memory: Any
    owners: tuple[object, ...]  # of the device arrays that it reads
    done: Any  # event
    arrived: Any  # pinned memory
    words: int

    def let_go(self) -> None:
        """Free the memory, even if the traceback of an error keeps this object."""
        self.memory = self.arrived = None
        self.owners = ()


class Pending:
    """A pass that is on its way; `result` waits for it. `plan` is the one that runs."""

    def __init__(self, plan: CudaPlan, names: Sequence[str], state: Running | Sums) -> None:
        self.plan = plan
        self._names = names
        self._state: Running | Sums | FastckaError = state
        self._lock = threading.Lock()  # the session may settle it while a caller waits for it

    @property
    def running(self) -> bool:
        """Whether the device may still be at work on it, as far as the host has looked."""
        return isinstance(self._state, Running)

    def result(self) -> Sums:
        """The sums of the pass.

        Raises
        ------
        InputError
            For NaN or infinite values, with the representation, their number and the first.
        DeviceError
            If the device failed.
        """
        settled = self.settle()
        if isinstance(settled, FastckaError):
            raise settled
        return settled

    def settle(self) -> Sums | FastckaError:
        """Wait for the pass, keep its sums or its error, and let go of its memory."""
        with self._lock:
            if isinstance(self._state, Running):
                running = self._state
                try:
                    with cuda_errors(self.plan.device):
                        wait_for(running.cupy, running.done)
                    words = np.frombuffer(running.arrived, np.float64, running.words).copy()
                    self._state = read_sums(words, self.plan, self._names)
                except FastckaError as error:
                    self._state = error
                running.let_go()
            return self._state


def read_sums(words: NDArray[np.float64], plan: CudaPlan, names: Sequence[str]) -> Sums:
    """The sums from the results of a pass: 8-byte words, laid out as csrc/cuda/layout.hpp says.

    S0 and norms (M, M) and traces (M,) are float64; then follow exponent, 0 or 1 for constant,
    the number of non-finite values, and the first one's row-major position, (M,) int64 each.
    """
    m = len(plan.n_features)
    s0, norms, traces = np.split(words[: 2 * m * m + m], [m * m, 2 * m * m])
    exponent, constant, count, first = words[2 * m * m + m :].view(np.int64).reshape(4, m)
    bad = np.flatnonzero((count > 0) | (first < -1))
    if bad.size:
        raise InputError(
            "; ".join(
                non_finite_text(names[i], int(count[i]), *divmod(int(first[i]), plan.n_features[i]))
                for i in bad.tolist()
            )
        )
    s0, norms = s0.reshape(m, m), norms.reshape(m, m)
    summed = s0.diagonal() + norms.diagonal() if plan.route == "F" else s0.diagonal()
    return Sums.about_the_mean(
        plan.n_examples,
        s0=s0,
        norms=norms,
        traces=traces,
        summed=summed,
        exponent=exponent.astype(np.int32),
        constant=tuple(map(bool, constant)),
        products=plan.products,
        epsilon=_rounding(plan),
    )


def _rounding(plan: CudaPlan) -> float:
    terms = min(plan.chunk, plan.n_examples) if plan.route == "F" else 0
    return EPSILON[plan.products] * (1 + terms / LONG_SUM)
