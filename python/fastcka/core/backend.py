"""The one place that imports the compiled passes."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastcka import _core
from fastcka.core.cost import Speed
from fastcka.core.implementation import Implementation
from fastcka.core.sums import EPSILON, THIRD_MOMENTS, Sums, non_finite_text
from fastcka.core.views import ArrayView, View
from fastcka.errors import InputError
from fastcka.out_of_memory import THREAD_BYTES, require_room
from fastcka.processors import usable_processors

if TYPE_CHECKING:
    from fastcka.core.cuda.runtime import CudaRuntime
    from fastcka.core.cuda.status import CudaStatus
    from fastcka.core.plan import PassPlan
    from fastcka.core.request import Request
    from fastcka.core.subsets import Subsets

Progress = Callable[[int, int], None]

version: str = _core.version

#: Forces an implementation of the inner loops, for tests and comparisons.
IMPLEMENTATION_VARIABLE = "FASTCKA_IMPLEMENTATION"

#: How one kind of products takes its operands; see csrc/cpu/loops/implementation.hpp.
ProductShape = _core.ProductShape
#: Most examples that can be permuted.
MOST_PERMUTED: int = _core.most_permuted
#: A pass over plain arrays; see csrc/plain_pass.hpp.
PlainPass = _core.PlainPass
#: Float32 values in a cache line; both extents of a staged buffer are multiples of it.
STAGING_LANES: int = _core.staging_lanes
#: The rule for examples that are far from all others, by squared distances in typical ones and by
#: their number; see csrc/far_rule.hpp.
FAR_FROM: float = _core.far_from
most_far = _core.most_far


def resolve_threads(threads: int | None = None) -> tuple[int, str]:
    """Return the number of threads and its source: argument, OMP_NUM_THREADS or processors."""
    if threads is not None:
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise InputError(f"threads must be a positive integer or None, got {threads!r}")
        return threads, "argument"
    text = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if text:
        if not text.isdecimal() or int(text) < 1:
            raise InputError(f"OMP_NUM_THREADS must be a positive integer, got {text!r}")
        return int(text), "OMP_NUM_THREADS"
    return usable_processors()


def resolve_implementation() -> Implementation:
    """Return the implementation that FASTCKA_IMPLEMENTATION names, or the preferred one."""
    tables = _implementations()
    wanted = os.environ.get(IMPLEMENTATION_VARIABLE) or next(iter(tables))
    if wanted not in tables:
        raise InputError(
            f"{IMPLEMENTATION_VARIABLE} is {wanted!r}, and this processor has {', '.join(tables)}"
        )
    return tables[wanted]


@cache
def speed_of(implementation: str, products: str, threads: int) -> Speed:
    """Return the measured speed of an implementation. The first call of a process takes 20 ms."""
    require_room(threads * THREAD_BYTES, "measuring the speed of a pass")
    return Speed(**_core.measure_speed(implementation, products, threads))


@cache
def gain_of(implementation: str, products: str) -> float:
    """Return the speed of products relative to float32; measured once in each process."""
    return _core.gain_of(implementation, products)


@cache
def _implementations() -> dict[str, Implementation]:
    steps = {"G": _core.gram_product_steps, "F": _core.feature_product_steps}
    return {
        table["name"]: Implementation(**table, product_steps=steps)
        for table in _core.implementations()
    }


#: HSIC and CKA from sums; see csrc/estimate.hpp.
compiled_estimate = _core.estimate


def bytes_needed(*arguments: Any, **options: Any) -> dict[str, int]:
    """Return the bytes of a pass on the CPU by purpose; see csrc/cpu/pass.hpp."""
    return _core.bytes_needed(*arguments, **options)


def gather(
    views: Sequence[ArrayView], offsets: Sequence[int], out: NDArray[np.uint8], threads: int
) -> None:
    """Copy views to offsets in a vector of bytes, as rows without gaps; see csrc/cpu/gather.hpp."""
    _core.gather(
        [_core.View(*view[1:7], False) for view in views],
        offsets=offsets,
        out=out,
        threads=threads,
    )


def release_memory() -> int:
    """Return the memory that is kept for the next pass on the CPU to the system.

    A process keeps at most 128 MiB of freed blocks, because the system takes time to give and
    clear pages.

    Returns
    -------
    int
        The bytes that were returned.
    """
    return _core.release_kept()


def run_passes(
    requests: Sequence[Request],
    plans: Sequence[PassPlan],
    *,
    threads: int,
    progress: Progress | None = None,
) -> list[Sums | InputError]:
    """Return the sums of each group, or why it has none, by one call of the compiled pass.

    All ``threads`` compute a single group. Of several groups, each is computed by one thread, and
    the units of ``progress`` are groups. Staged representations are centred in place if the plan
    says so; those of a group without sums are unchanged.

    Returns
    -------
    list
        For each group its sums; or an `InputError` for NaN or infinite values, with the
        representation, their number and the first position, or for a staged representation that
        shares memory with another of any group.
    """
    tasks = [
        _task(request.views, plan, request.subsets)
        for request, plan in zip(requests, plans, strict=True)
    ]
    results = _core.run(tasks, threads=threads, progress=progress)
    return [
        _outcome(request.names, plan, result)
        for request, plan, result in zip(requests, plans, results, strict=True)
    ]


def plain_pass(
    views: Sequence[View], plan: PassPlan, zero: float, condition: float, excess: float
) -> PlainPass:
    """Return the pass of a plan over arrays of the views' shapes."""
    return PlainPass(_task(views, plan, None), zero=zero, condition=condition, excess=excess)


def _task(views: Sequence[View], plan: PassPlan, subsets: Subsets | None) -> _core.Task:
    return _core.Task(
        [
            _view(view, staged=view.staged and plan.in_place)
            for view in views
            if isinstance(view, ArrayView)
        ],
        plan.route,
        plan.tile,
        plan.chunk,
        plan.batch,
        plan.implementation,
        plan.products,
        plan.moment_routes,
        [] if subsets is None else subsets.fold.tolist(),
        subsets is not None and subsets.nested,
    )


def _view(view: ArrayView, *, staged: bool) -> _core.View:
    return _core.View(
        view.address,
        view.n_examples,
        view.n_features,
        view.row_stride,
        view.column_stride,
        view.dtype,
        staged,
    )


def _outcome(names: Sequence[str], plan: PassPlan, result: dict[str, Any]) -> Sums | InputError:
    if "refused" in result:
        return InputError(result["refused"])
    if "non_finite" in result:
        return InputError(
            "; ".join(
                non_finite_text(
                    names[bad["representation"]], bad["count"], bad["row"], bad["column"]
                )
                for bad in result["non_finite"]
            )
        )
    return sums_of(plan, result)


def sums_of(plan: PassPlan, fields: dict[str, Any]) -> Sums:
    """Return the sums of a pass from the fields that the compiled code returned."""
    third = None
    if plan.third_moments:
        third = {name: fields.pop(name) for name in THIRD_MOMENTS}
    constant = tuple(fields.pop("constant"))
    return Sums(
        plan.n_examples,
        **fields,
        constant=constant,
        third=third,
        products=plan.products,
        epsilon=EPSILON[plan.products],
    )


def permuted(
    views: Sequence[ArrayView], *, estimator: str, products: str, threads: int
) -> _core.Permuted:
    """Return the compiled permutation of the examples; see csrc/cpu/permute.hpp."""
    require_room(threads * THREAD_BYTES, "permuting examples")
    return _core.Permuted(
        [_view(view, staged=False) for view in views],
        estimator=estimator,
        implementation=resolve_implementation().name,
        products=products,
        threads=threads,
        progress=None,
    )


def permuted_bytes(n: int, m: int, value_bytes: int, count: int) -> tuple[int, int]:
    """Return the bytes of `permuted`, and of one thread for ``count`` permutations at once."""
    grams = _core.permuted_gram_bytes(n, m, value_bytes)
    return grams, _core.permuted_thread_bytes(n, m, count, value_bytes)


@cache
def cuda_runtime() -> CudaRuntime:
    """The CUDA part of this build, imported on the first call; it knows what may be missing."""
    from fastcka.core.cuda.runtime import CudaRuntime

    name = "fastcka._cuda"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return CudaRuntime(None, "this build of fastcka has no CUDA part: no nvcc was found for it")
    except ImportError as error:
        return CudaRuntime(None, f"fastcka's CUDA part cannot be imported: {error}")
    if module.version != version:
        return CudaRuntime(
            None, f"fastcka's CUDA part is of version {module.version}, the rest of {version}"
        )
    return CudaRuntime(module, None)


def cuda_status() -> CudaStatus:
    """Return what was built and found for CUDA, and the reason if no device can be used."""
    return cuda_runtime().status()


def describe() -> dict[str, Any]:
    """Return what was built, and what this machine uses."""
    threads, source = resolve_threads()
    return {
        "version": version,
        "compiler": _core.compiler,
        "implementations": list(_implementations()),
        "implementation": resolve_implementation().name,
        "threads": threads,
        "threads_source": source,
    }
