"""A pass that is on its way on a CUDA device, and how its results are read when they arrive."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastcka.core.cuda.card import CudaDevice
from fastcka.core.cuda.plan import CudaPlan
from fastcka.core.cuda.ring import wait_for
from fastcka.core.sums import EPSILON, Sums, non_finite_text
from fastcka.errors import DeviceError, FastckaError, InputError

if TYPE_CHECKING:
    from fastcka import _cuda

#: This many examples in one sum of the features route double its rounding; sums that are all
#: rounded alike (one-hot rows) leave 390 times the spacing of float32 for 1000 examples.
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
    resident: _cuda.Pass
    too_large: int
    add_far: Callable[[Sequence[int]], Any]  # enqueues the sums with far examples; returns an event

    def results(self) -> Results:
        """What has arrived, in place: it keeps the pinned memory."""
        _, size = self.resident.results
        data = np.frombuffer(self.arrived, np.uint8, size)
        return Results(data, self.resident.result_fields, self.too_large)

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


@dataclass(frozen=True)
class Results:
    """The results of a pass, and the place of each field, as the compiled pass says.

    Attributes
    ----------
    data
        The bytes.
    fields
        Name -> dtype, offset in bytes and count of items; csrc/cuda/layout.hpp has their meaning.
    too_large
        In place of the position of the first non-finite value: the values are too large to sum.
    """

    data: NDArray[np.uint8]
    fields: Mapping[str, Mapping[str, Any]]
    too_large: int

    def __getitem__(self, name: str) -> NDArray[Any]:
        field = self.fields[name]
        dtype, begin = np.dtype(field["dtype"]), field["offset"]
        return self.data[begin : begin + field["count"] * dtype.itemsize].view(dtype)


def read_results(
    results: Results, plan: CudaPlan, names: Sequence[str]
) -> tuple[Sums, tuple[int, ...]]:
    """The sums, and the examples that are far from all others in any representation."""
    m = len(plan.n_features)
    count, first = results["count"], results["first"]
    bad = np.flatnonzero((count > 0) | (first == results.too_large))
    if bad.size:
        raise InputError(
            "; ".join(
                non_finite_text(names[i], int(count[i]), *divmod(int(first[i]), plan.n_features[i]))
                for i in bad.tolist()
            )
        )
    sums = Sums(
        plan.n_examples,
        s0=results["s0"].reshape(m, m),
        norms=results["norms"].reshape(m, m),
        q_products=results["q_products"].reshape(m, m),
        r_products=results["r_products"].reshape(m, m),
        q_totals=results["q_totals"],
        r_totals=results["r_totals"],
        summed=results["summed"],
        near_norms=results["near_products"].reshape(m, m).diagonal(),
        exponent=results["exponent"].astype(np.int32),
        constant=tuple(map(bool, results["constant"])),
        products=plan.products,
        epsilon=_rounding(plan),
    )
    return sums, tuple(np.flatnonzero(results["any_far"]).tolist())


def _rounding(plan: CudaPlan) -> float:
    terms = min(plan.chunk, plan.n_examples) if plan.route == "F" else 0
    return EPSILON[plan.products] * (1 + terms / LONG_SUM)
