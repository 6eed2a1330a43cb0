"""A pass that is on its way on a CUDA device, and how its results are read when they arrive."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
    size: int  # of the results, in bytes
    add_far: Callable[[Sequence[int]], Any]  # enqueues the sums with far examples; returns an event

    def results(self) -> NDArray[np.uint8]:
        """A copy of what has arrived."""
        return np.frombuffer(self.arrived, np.uint8, self.size).copy()

    def let_go(self) -> None:
        """Free the memory, even if the traceback of an error keeps this object."""
        self.memory = self.arrived = None
        self.owners = ()


class Pending:
    """A pass that is on its way; `result` waits for it. `plan` is the one that runs.

    In route F, examples that are far from all others are known when the results arrive. Then the
    sums are enqueued a second time: the products without these examples, whose Gram entries are
    computed in float64.
    """

    def __init__(self, plan: CudaPlan, names: Sequence[str], state: Running | Sums) -> None:
        self.plan = plan
        self.far: tuple[int, ...] = ()  # when the results are there: examples far from all others
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
                    self._state = self._read(running)
                except FastckaError as error:
                    self._state = error
                running.let_go()
            return self._state

    def _read(self, running: Running) -> Sums:
        with cuda_errors(self.plan.device):
            wait_for(running.cupy, running.done)
        sums, far = read_results(running.results(), self.plan, self._names)
        if far and self.plan.route == "F":
            with cuda_errors(self.plan.device):
                wait_for(running.cupy, running.add_far(far))
            sums, _ = read_results(running.results(), self.plan, self._names)
        self.far = far
        self.plan = with_far(self.plan, far)
        return sums


def with_far(plan: CudaPlan, far: Collection[int]) -> CudaPlan:
    """The plan with a word on the examples that are far from all others."""
    if not far:
        return plan
    words = f"; {len(far)} of {plan.n_examples} examples are far from all others"
    if plan.route == "F":
        words += ": their products are float64, in a second round"
    return replace(plan, reason=plan.reason + words)


def read_results(
    words: NDArray[np.uint8], plan: CudaPlan, names: Sequence[str]
) -> tuple[Sums, tuple[int, ...]]:
    """The sums and the far examples from the results of a pass, as csrc/cuda/layout.hpp says.

    S0, then the products of k, q, r and of k without far examples, (M, M) each, then the totals of
    q and r and the diagonal of S0 as it was summed, (M,) each, are float64. Then follow exponent, 0
    or 1 for constant, the number of non-finite values, the first one's row-major position, and the
    number of far examples, (M,) int64 each; then a byte for each example, 1 where it is far in any
    representation.
    """
    m = len(plan.n_features)
    matrices, vectors = 5 * m * m * 8, 3 * m * 8
    statuses = matrices + vectors + 5 * m * 8
    s0, norms, q_products, r_products, near = words[:matrices].view(np.float64).reshape(5, m, m)
    q_totals, r_totals, summed = words[matrices : matrices + vectors].view(np.float64).reshape(3, m)
    status = words[matrices + vectors : statuses].view(np.int64).reshape(5, m)
    exponent, constant, count, first, _ = status
    bad = np.flatnonzero((count > 0) | (first < -1))
    if bad.size:
        raise InputError(
            "; ".join(
                non_finite_text(names[i], int(count[i]), *divmod(int(first[i]), plan.n_features[i]))
                for i in bad.tolist()
            )
        )
    sums = Sums(
        plan.n_examples,
        s0=s0,
        norms=norms,
        q_products=q_products,
        r_products=r_products,
        q_totals=q_totals,
        r_totals=r_totals,
        summed=summed,
        near_norms=near.diagonal(),
        exponent=exponent.astype(np.int32),
        constant=tuple(map(bool, constant)),
        products=plan.products,
        epsilon=_rounding(plan),
    )
    return sums, tuple(np.flatnonzero(words[statuses:]).tolist())


def _rounding(plan: CudaPlan) -> float:
    terms = min(plan.chunk, plan.n_examples) if plan.route == "F" else 0
    return EPSILON[plan.products] * (1 + terms / LONG_SUM)
