"""Plans of passes over views on the CPU; planning takes as long as a small pass."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from fastcka.core.backend import bytes_needed, gain_of, resolve_implementation, speed_of
from fastcka.core.base_plan import Precision
from fastcka.core.implementation import Implementation
from fastcka.core.plan import PassPlan, make_plan
from fastcka.core.views import ITEMSIZE, ArrayView, View


def plan_on_cpu(
    views: Sequence[View],
    precision: Precision,
    threads: int,
    device_reason: str = "",
    *,
    third_moments: bool = False,
    subsets: int = 0,
) -> PassPlan:
    """Return the plan of a pass over the views on the CPU."""
    return _plan_of_shape(
        views[0].n_examples,
        tuple([view.n_features for view in views]),
        tuple([view.dtype for view in views]),
        all(isinstance(view, ArrayView) and view.staged for view in views),
        resolve_implementation(),
        precision,
        threads,
        device_reason,
        third_moments,
        subsets,
    )


@lru_cache(maxsize=256)
def _plan_of_shape(
    n_examples: int,
    n_features: tuple[int, ...],
    dtypes: tuple[str, ...],
    staged: bool,
    implementation: Implementation,
    precision: Precision,
    threads: int,
    device_reason: str,
    third_moments: bool,
    subsets: int,
) -> PassPlan:
    """Return a cached plan: planning takes as long as a small pass, and shapes repeat."""
    return make_plan(
        n_examples,
        n_features,
        itemsizes=[ITEMSIZE[dtype] for dtype in dtypes],
        implementation=implementation,
        speed_of=lambda shape, used: speed_of(implementation.name, shape.products, used),
        gain_of=gain_of,
        bytes_needed=bytes_needed,
        threads=threads,
        precision=precision,
        staged=staged,
        device_reason=device_reason,
        third_moments=third_moments,
        subsets=subsets,
    )
