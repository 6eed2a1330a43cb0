"""Which device a pass runs on, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, overload

from fastcka.core.backend import cuda_runtime, resolve_threads
from fastcka.core.base_plan import HOST_BYTES_PER_SECOND, PRECISIONS, Precision
from fastcka.core.cost import most_seconds
from fastcka.core.device_arrays import common_device, refuse_device_views
from fastcka.core.device_name import EVERY_GPU, Device, checked_device, gpu_index
from fastcka.core.inference.folds import fold_count
from fastcka.core.inference.options import Inference, parse_inference
from fastcka.core.inference_device import choose_for_inference
from fastcka.core.plan import PassPlan
from fastcka.core.plan_cache import plan_on_cpu
from fastcka.core.views import ITEMSIZE, DeviceView, View, absent_array
from fastcka.errors import DeviceError, InputError

if TYPE_CHECKING:
    from fastcka.core.cuda.plan import CudaPlan
    from fastcka.core.cuda.session import CudaSession

#: Seconds of a pass on a GPU in addition to the prediction: Python, launches, waiting.
OVERHEAD_SECONDS = 5e-3
#: Seconds of the first pass of a process: it imports cupy, starts CUDA and opens cuBLAS.
START_SECONDS = 1.0


def plan_on_cuda(
    views: Sequence[View],
    precision: Precision,
    index: int,
    device_reason: str = "",
    *,
    auto: bool = False,
    threads: int = 1,
) -> CudaPlan:
    """Return the plan of a pass on a CUDA device; `DeviceError` if it cannot be used.

    ``threads`` copy arrays of the host into pinned memory.
    """
    runtime = cuda_runtime()
    return runtime.plan(
        views[0].n_examples,
        tuple([view.n_features for view in views]),
        tuple([ITEMSIZE[view.dtype] for view in views]),
        tuple([isinstance(view, DeviceView) for view in views]),
        runtime.device(index),
        precision,
        device_reason,
        auto,
        threads,
    )


def require_device(device: Device) -> None:
    """Raise an error if data on the host cannot be compared on ``device``; "auto" always works.

    Raises
    ------
    InputError
        If ``device`` is not the name of a device.
    DeviceError
        If the device cannot be used; the message gives the reason.
    """
    name = checked_device(device)
    if name.startswith("cuda"):
        cuda_runtime().device(gpu_index(name))


def choose_device(
    device: str, views: Sequence[View], names: Sequence[str], precision: Precision, threads: int
) -> PassPlan | CudaPlan:
    """Return the plan of a pass on ``device``, given the devices of the arrays.

    Raises
    ------
    InputError
        For arrays on two devices.
    DeviceError
        If the device cannot be used, or differs from that of the arrays.
    """
    index = common_device(views, names)
    if index is None:
        return choose_for_host(device, views, precision, threads)
    if device == "cpu":
        refuse_device_views(views, names, "device is 'cpu'")
    why_not = cuda_runtime().why_not
    if why_not is not None:
        refuse_device_views(views, names, f"CUDA cannot be used here: {why_not}")
    if device not in ("auto", "cuda", EVERY_GPU, f"cuda:{index}"):
        refuse_device_views(views, names, f"device is {device!r}")
    return plan_on_cuda(views, precision, index, "the arrays are on it", threads=threads)


def choose_for_host(
    device: str, views: Sequence[View], precision: Precision, threads: int
) -> PassPlan | CudaPlan:
    """Return the plan for arrays on the CPU; "auto" is the faster device as predicted."""
    if device.startswith("cuda"):
        reason = "it was asked for" if device != EVERY_GPU else "one GPU computes a single group"
        return plan_on_cuda(views, precision, gpu_index(device), reason, threads=threads)
    certain = plan_without_choice(device, views, precision, threads)
    if certain is not None:
        return certain
    from fastcka.core.cuda.status import cupy_is_there

    here = plan_on_cpu(views, precision, threads)
    least = _least_seconds_on_cuda(here)
    if not cupy_is_there():  # then no prediction is needed
        return replace(here, device_reason=f"no GPU can be used: {cuda_runtime().why_not}")
    predicted = f"{here.seconds:.2g} s are predicted for the CPU"
    if here.seconds <= least:
        reason = f"{predicted}, and to copy the data to a GPU takes {least:.2g} s"
        return replace(here, device_reason=reason)
    runtime = cuda_runtime()
    if runtime.why_not is not None:
        return replace(here, device_reason=f"no GPU can be used: {runtime.why_not}")
    there = plan_on_cuda(views, precision, runtime.devices[0].index, auto=True, threads=threads)
    seconds = there.seconds + OVERHEAD_SECONDS + (0 if runtime.started else START_SECONDS)
    faster: PassPlan | CudaPlan = there if seconds < here.seconds else here
    return replace(faster, device_reason=f"{predicted}, {seconds:.2g} s for {there.device}")


def plan_without_choice(
    device: str, views: Sequence[View], precision: Precision, threads: int
) -> PassPlan | None:
    """Return the plan for arrays on the CPU if no GPU needs to be considered, otherwise None."""
    if device == "cpu":
        return plan_on_cpu(views, precision, threads, "it was asked for")
    if device != "auto":
        return None
    here = plan_on_cpu(views, precision, threads, "the pass is too small for a GPU")
    least = _least_seconds_on_cuda(here)
    return here if most_seconds(here.flops, here.bytes_inputs) <= least else None


def _least_seconds_on_cuda(here: PassPlan) -> float:
    return here.bytes_inputs / HOST_BYTES_PER_SECOND + OVERHEAD_SECONDS


def open_session(plan: CudaPlan, views: Sequence[View], threads: int) -> CudaSession | PassPlan:
    """Return the session of the plan's device; for "auto", a plan for the CPU if that fails."""
    try:
        return cuda_runtime().session(plan.device.index)
    except DeviceError as error:
        if not plan.auto:
            raise
        return plan_on_cpu(views, plan.precision, threads, str(error))


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
    inference: bool | Inference = ...,
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
    device: Device,
    inference: bool | Inference = ...,
) -> PassPlan | CudaPlan: ...


def plan_pass(
    n_examples: int,
    n_features: Sequence[int],
    *,
    dtype: str | Sequence[str] = "float32",
    precision: Precision = "high",
    threads: int | None = None,
    staged: bool = False,
    device: Device = "cpu",
    inference: bool | Inference = False,
) -> PassPlan | CudaPlan:
    """Plan a pass on this machine without running it.

    Parameters
    ----------
    n_examples
        Rows of every representation.
    n_features
        Columns of each representation.
    dtype
        Dtype of all representations, or of each: "float16", "bfloat16", "float32" or "float64".
    precision
        "high", "fast" or "float64", as in `fastcka.compare`.
    threads
        Number of CPU threads. None: OMP_NUM_THREADS, or the processors that this process may use.
    staged
        The representations are read into buffers that the pass centres in place.
    device
        As in `fastcka.compare`, for arrays on the CPU.
    inference
        True, or the options, if p-values and intervals are computed too, which needs the CPU.

    Returns
    -------
    PassPlan or CudaPlan
        The plan for the device; both have `route`, `tile`, `products`, `flops`, predicted
        `seconds`, bytes by purpose, `explain` and `to_dict`.
    """
    check_precision(precision)
    name = checked_device(device)
    if n_examples < 1 or not n_features or min(n_features) < 1:
        raise InputError(
            f"a pass needs at least one example, representation and feature, "
            f"got n_examples={n_examples}, n_features={list(n_features)}"
        )
    dtypes = [dtype] * len(n_features) if isinstance(dtype, str) else list(dtype)
    if len(dtypes) != len(n_features) or not set(dtypes) <= ITEMSIZE.keys():
        raise InputError(
            f"dtype must be one of {', '.join(ITEMSIZE)}, or one of these for each representation, "
            f"got {dtype!r}"
        )
    views = [
        absent_array(n_examples, *each, staged) for each in zip(n_features, dtypes, strict=True)
    ]
    used, _ = resolve_threads(threads)
    asked = parse_inference(inference)
    if asked is not None:
        return choose_for_inference(
            "inference",
            name,
            views,
            [],
            precision,
            used,
            third_moments=True,
            subsets=fold_count(n_examples, asked.folds),
        )
    return choose_for_host(name, views, precision, used)


def check_precision(precision: str) -> None:
    """Refuse a text that is not a precision."""
    if precision not in PRECISIONS:
        raise InputError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
