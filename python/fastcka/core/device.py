"""Which device a pass runs on, and why."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, overload

from fastcka.core.backend import (
    cuda_runtime,
    resolve_implementation,
    resolve_threads,
    speed_of,
)
from fastcka.core.cuda.cost import HOST_BYTES_PER_SECOND
from fastcka.core.cuda.plan import CudaPlan, make_cuda_plan
from fastcka.core.device_arrays import common_device, refuse_device_views
from fastcka.core.plan import PRECISIONS, PassPlan, Precision, make_plan
from fastcka.core.views import ITEMSIZE, DeviceView, View
from fastcka.errors import DeviceError, InputError

if TYPE_CHECKING:
    from fastcka.core.cuda.session import CudaSession

#: A pass on a GPU costs so much beside what its plan predicts: Python, launches, waiting.
OVERHEAD_SECONDS = 5e-3
#: The first one in a process imports cupy, starts CUDA and opens cuBLAS.
START_SECONDS = 1.0

_DEVICE = re.compile(r"auto|cpu|cuda(?::(\d{1,4}))?")


@dataclass(frozen=True)
class OnCpu:
    """The CPU was chosen: the plan, and the reason."""

    plan: PassPlan
    reason: str


@dataclass(frozen=True)
class OnCuda:
    """A CUDA device was chosen: the plan, and the reason; `auto` if the CPU would do as well."""

    plan: CudaPlan
    reason: str
    auto: bool = False


Choice = OnCpu | OnCuda


@dataclass(frozen=True)
class Problem:
    """What is to be compared, as far as planning goes: each representation's width and size."""

    n_examples: int
    n_features: tuple[int, ...]
    itemsizes: tuple[int, ...]
    on_device: tuple[bool, ...]
    staged: bool

    @classmethod
    def of_views(cls, views: Sequence[View]) -> Problem:
        """The problem that the views pose."""
        return cls(
            views[0].n_examples,
            tuple(view.n_features for view in views),
            tuple(ITEMSIZE[view.dtype] for view in views),
            tuple(isinstance(view, DeviceView) for view in views),
            all(not isinstance(view, DeviceView) and view.staged for view in views),
        )

    def plan_on_cpu(self, precision: Precision, threads: int) -> PassPlan:
        """The plan of a pass on the CPU."""
        implementation = resolve_implementation()
        return make_plan(
            self.n_examples,
            self.n_features,
            itemsizes=self.itemsizes,
            implementation=implementation,
            speed_of=lambda panels, used: speed_of(implementation.name, panels.products, used),
            threads=threads,
            precision=precision,
            staged=self.staged,
        )

    def plan_on_cuda(self, precision: Precision, index: int) -> CudaPlan:
        """The plan of a pass on a CUDA device; `DeviceError` if that cannot be used."""
        runtime = cuda_runtime()
        return make_cuda_plan(
            self.n_examples,
            self.n_features,
            itemsizes=self.itemsizes,
            on_device=self.on_device,
            device=runtime.device(index),
            precision=precision,
            bytes_needed=runtime.bytes_needed,
        )


def check_device(device: str) -> None:
    """Refuse what names no device; whether it can be used shows later."""
    if not isinstance(device, str) or not _DEVICE.fullmatch(device):
        raise InputError(f"device must be 'auto', 'cpu', 'cuda' or 'cuda:<number>', got {device!r}")


def require_device(device: str) -> None:
    """Make sure that data on the host can be compared there; "auto" always finds a device.

    Raises
    ------
    InputError
        For what names no device.
    DeviceError
        For a device that cannot be used, with the reason.
    """
    check_device(device)
    if device.startswith("cuda"):
        cuda_runtime().device(_index(device))


def _index(device: str) -> int:
    return int(device.partition(":")[2] or 0)


def choose_device(
    device: str, views: Sequence[View], names: Sequence[str], precision: Precision, threads: int
) -> Choice:
    """The device that ``device`` stands for, where the arrays lie as they do.

    Raises
    ------
    InputError
        For arrays on two devices.
    DeviceError
        For a device that cannot be used, or another than that which the arrays lie on.
    """
    problem = Problem.of_views(views)
    located = common_device(views, names)
    if located is None:
        return choose_for_host(device, problem, precision, threads)
    if device == "cpu":
        refuse_device_views(views, names, "device is 'cpu'")
    why_not = cuda_runtime().why_not
    if why_not is not None:
        refuse_device_views(views, names, f"CUDA cannot be used here: {why_not}")
    if device not in ("auto", "cuda", f"cuda:{located}"):
        refuse_device_views(views, names, f"device is {device!r}")
    return OnCuda(problem.plan_on_cuda(precision, located), "the arrays lie on it")


def choose_for_host(device: str, problem: Problem, precision: Precision, threads: int) -> Choice:
    """The device for data in the memory of the CPU: "auto" is the one predicted to be faster."""
    if device.startswith("cuda"):
        return OnCuda(problem.plan_on_cuda(precision, _index(device)), "it was asked for")
    here = problem.plan_on_cpu(precision, threads)
    if device == "cpu":
        return OnCpu(here, "it was asked for")
    told = f"{here.seconds:.2g} s are predicted for the CPU"
    least = here.bytes_inputs / HOST_BYTES_PER_SECOND + OVERHEAD_SECONDS
    if here.seconds <= least:
        return OnCpu(here, f"{told}, and to copy the data to a GPU takes {least:.2g} s")
    runtime = cuda_runtime()
    if runtime.why_not is not None:
        return OnCpu(here, f"no GPU can be used: {runtime.why_not}")
    there = problem.plan_on_cuda(precision, runtime.devices[0].index)
    seconds = there.seconds + OVERHEAD_SECONDS + (0 if runtime.started else START_SECONDS)
    told += f", {seconds:.2g} s for {there.device}"
    return OnCuda(there, told, auto=True) if seconds < here.seconds else OnCpu(here, told)


def open_session(
    choice: OnCuda, problem: Problem, precision: Precision, threads: int
) -> CudaSession | OnCpu:
    """The session of the chosen device.

    Where "auto" chose it and it turns out to be unusable, the CPU is chosen, for that reason.
    """
    try:
        return cuda_runtime().session(choice.plan.device.index)
    except DeviceError as error:
        if not choice.auto:
            raise
        return OnCpu(problem.plan_on_cpu(precision, threads), str(error))


@overload
def plan_pass(
    n_examples: int,
    n_features: Sequence[int],
    *,
    dtype: str | Sequence[str] = ...,
    precision: Precision = ...,
    threads: int | None = ...,
    staged: bool = ...,
    device: Literal["cpu"] = ...,
) -> PassPlan: ...


@overload
def plan_pass(
    n_examples: int,
    n_features: Sequence[int],
    *,
    dtype: str | Sequence[str] = ...,
    precision: Precision = ...,
    threads: int | None = ...,
    staged: bool = ...,
    device: str,
) -> PassPlan | CudaPlan: ...


def plan_pass(
    n_examples: int,
    n_features: Sequence[int],
    *,
    dtype: str | Sequence[str] = "float32",
    precision: Precision = "high",
    threads: int | None = None,
    staged: bool = False,
    device: str = "cpu",
) -> PassPlan | CudaPlan:
    """Plan a pass on this machine without running it.

    Parameters
    ----------
    n_examples
        Rows of every representation.
    n_features
        Columns of each representation.
    dtype
        Of all, or of each: "float16", "bfloat16", "float32" or "float64".
    precision
        "high", "fast" or "float64", as in `fastcka.compare`.
    threads
        None: OMP_NUM_THREADS, else the processors that this process may use.
    staged
        The representations are read into buffers that the pass centres in place.
    device
        As in `fastcka.compare`; the data lie in the memory of the CPU.

    Returns
    -------
    PassPlan or CudaPlan
        The plan for the device; both have `route`, `tile`, `products`, `flops`, predicted
        `seconds`, bytes by purpose, `explain` and `to_dict`.
    """
    check_precision(precision)
    check_device(device)
    if n_examples < 1 or not n_features or min(n_features) < 1:
        raise InputError(
            f"a pass needs at least one example, representation and feature, "
            f"got n_examples={n_examples}, n_features={list(n_features)}"
        )
    dtypes = [dtype] * len(n_features) if isinstance(dtype, str) else list(dtype)
    problem = Problem(
        n_examples,
        tuple(n_features),
        tuple(ITEMSIZE[name] for name in dtypes),
        (False,) * len(n_features),
        staged,
    )
    return choose_for_host(device, problem, precision, resolve_threads(threads)[0]).plan


def check_precision(precision: str) -> None:
    """Refuse what is no precision."""
    if precision not in PRECISIONS:
        raise InputError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
