"""The device of a pass for what only the CPU computes."""

from __future__ import annotations

from collections.abc import Sequence

from fastcka.core.base_plan import Precision
from fastcka.core.device_arrays import refuse_device_views
from fastcka.core.plan import PassPlan
from fastcka.core.plan_cache import plan_on_cpu
from fastcka.core.views import DeviceView, View
from fastcka.errors import DeviceError


def choose_for_inference(
    what: str,
    device: str,
    views: Sequence[View],
    names: Sequence[str],
    precision: Precision,
    threads: int,
    *,
    third_moments: bool,
    subsets: int,
) -> PassPlan:
    """Return the plan of a pass on the CPU, because only the CPU computes ``what``.

    Raises
    ------
    DeviceError
        If another device is asked for, or an array is on one.
    """
    if any(isinstance(view, DeviceView) for view in views):
        refuse_device_views(views, names, f"{what} is computed on the CPU only")
    if device.startswith("cuda"):
        raise DeviceError(
            f"{what} is computed on the CPU only, and device is {device!r}: choose device='cpu' or "
            "'auto'. A GPU computes null_mean, null_sd and z without it"
        )
    return plan_on_cpu(
        views,
        precision,
        threads,
        f"{what} is computed on it",
        third_moments=third_moments,
        subsets=subsets,
    )
