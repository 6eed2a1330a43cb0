"""The device of a pass with third moments, which only the CPU computes."""

from __future__ import annotations

from collections.abc import Sequence

from fastcka.core.base_plan import Precision
from fastcka.core.device_arrays import refuse_device_views
from fastcka.core.plan import PassPlan
from fastcka.core.plan_cache import plan_on_cpu
from fastcka.core.views import DeviceView, View
from fastcka.errors import DeviceError


def choose_for_inference(
    device: str, views: Sequence[View], names: Sequence[str], precision: Precision, threads: int
) -> PassPlan:
    """Return the plan of a pass with third moments, which only the CPU computes.

    Raises
    ------
    DeviceError
        If another device is asked for, or an array is on one.
    """
    if any(isinstance(view, DeviceView) for view in views):
        refuse_device_views(views, names, "the p-values of inference=True are computed on the CPU")
    if device.startswith("cuda"):
        raise DeviceError(
            f"inference=True computes p-values on the CPU only, and device is {device!r}: choose "
            "device='cpu' or 'auto', or leave inference out (null_mean, null_sd and z are there "
            "all the same)"
        )
    return plan_on_cpu(views, precision, threads, "p-values are computed on it", third_moments=True)
