"""Small passes over plain arrays, by one compiled call.

A call such as ``fastcka.cka(x, y)`` needs checks, views, a plan and texts. In Python they take
longer than a small pass. For NumPy arrays that need no conversion, all of them follow from the
shapes and dtypes, so this module prepares them once for each shape. Values that need more than one
pass, or an error or a warning, are left to `fastcka.core.work`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastcka.core.backend import PlainPass, plain_pass, resolve_implementation, sums_of
from fastcka.core.base_plan import Precision
from fastcka.core.device import plan_without_choice
from fastcka.core.estimators import MIN_EXAMPLES, Estimates, Estimator, tolerance
from fastcka.core.memory import additional_bytes
from fastcka.core.sums import EPSILON, Sums
from fastcka.core.views import NATIVE, absent_array
from fastcka.memory import UNCHECKED_BYTES

if TYPE_CHECKING:
    from fastcka.core.options import Options
    from fastcka.core.plan import PassPlan


class PlainValues(NamedTuple):
    """What a pass over plain arrays computed; its values have the same bits in `work`."""

    estimates: dict[Estimator, Estimates]
    plan: PassPlan
    sums: Sums


def plain_values(arrays: Sequence[Any], options: Options) -> PlainValues | None:
    """Return the results for a group; None if the arrays are not plain and small, or unusual.

    Unusual values are NaN or infinite, or have an undefined or imprecise estimate.
    """
    values = _run(arrays, options, with_sums=True)
    if values is None:
        return None
    estimates, plan, fields = values
    return PlainValues(estimates, plan, sums_of(plan, fields))


def plain_estimates(arrays: Sequence[Any], options: Options) -> dict[Estimator, Estimates] | None:
    """Return both estimates, without the time that the sums take; None as `plain_values`."""
    values = _run(arrays, options, with_sums=False)
    return None if values is None else values[0]


def _run(
    arrays: Sequence[Any], options: Options, *, with_sums: bool
) -> tuple[dict[Estimator, Estimates], PassPlan, Any] | None:
    if options.progress is not None or options.needs_cpu:
        return None
    for x in arrays:
        if type(x) is not np.ndarray:
            return None
    prepared = _prepared(
        tuple([x.shape for x in arrays]),
        tuple([x.dtype for x in arrays]),
        resolve_implementation().name,
        options.device,
        options.precision,
        options.threads,
    )
    if prepared is None:
        return None
    plan, compiled = prepared
    try:
        values = compiled.run(arrays, with_sums)
    except MemoryError:
        return None
    if values is None:
        return None
    hsic_biased, biased, hsic_unbiased, unbiased, fields = values
    estimates: dict[Estimator, Estimates] = {
        "biased": Estimates(hsic_biased, biased, {}),
        "unbiased": Estimates(hsic_unbiased, unbiased, {}),
    }
    return estimates, plan, fields


@lru_cache(maxsize=256)
def _prepared(
    shapes: tuple[tuple[int, ...], ...],
    dtypes: tuple[np.dtype[Any], ...],
    implementation: str,  # noqa: ARG001 (the planner finds it; here it is a part of the key)
    device: str,
    precision: Precision,
    threads: int,
) -> tuple[PassPlan, PlainPass] | None:
    """Return the plan and the compiled pass; None for arrays that are not plain and small.

    A pass is small if the CPU computes it by one thread, without a check of the memory.
    """
    if not shapes or not all(dtype in NATIVE for dtype in dtypes):
        return None
    if any(len(shape) != 2 or 0 in shape or shape[0] != shapes[0][0] for shape in shapes):
        return None
    n = shapes[0][0]
    if n < max(MIN_EXAMPLES.values()):
        return None
    views = [
        absent_array(n, shape[1], NATIVE[dtype], staged=False)
        for shape, dtype in zip(shapes, dtypes, strict=True)
    ]
    plan = plan_without_choice(device, views, precision, threads)
    if plan is None or plan.threads > 1 or additional_bytes(plan) >= UNCHECKED_BYTES:
        return None
    return plan, plain_pass(views, plan, *tolerance(plan.products, EPSILON[plan.products]))
