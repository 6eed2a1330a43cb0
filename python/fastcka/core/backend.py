"""The one place that imports the compiled passes."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastcka import _core
from fastcka.core.cost import Speed
from fastcka.core.cuda.status import CudaStatus
from fastcka.core.implementation import Implementation
from fastcka.core.sums import EPSILON, Sums, non_finite_text
from fastcka.core.views import ArrayView, View
from fastcka.errors import InputError
from fastcka.out_of_memory import THREAD_BYTES, require_room
from fastcka.processors import usable_processors

if TYPE_CHECKING:
    from fastcka.core.cuda.runtime import CudaRuntime
    from fastcka.core.plan import PassPlan
    from fastcka.core.request import Request

Progress = Callable[[int, int], None]

version: str = _core.version

#: Forces an implementation of the inner loops, for tests and comparisons.
IMPLEMENTATION_VARIABLE = "FASTCKA_IMPLEMENTATION"

#: How one kind of products takes its operands; see csrc/cpu/loops/implementation.hpp.
ProductShape = _core.ProductShape
#: Float32 values in a cache line; both extents of a staged buffer are multiples of it.
STAGING_LANES: int = _core.staging_lanes


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
def gain_of_fast(implementation: str) -> float:
    """Return the speed of "fast" products relative to "high"; measured once in each process."""
    return _core.gain_of_fast(implementation)


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
    tasks = [_task(request.views, plan) for request, plan in zip(requests, plans, strict=True)]
    results = _core.run(tasks, threads=threads, progress=progress)
    return [
        _outcome(request.names, plan, result)
        for request, plan, result in zip(requests, plans, results, strict=True)
    ]


def _task(views: Sequence[View], plan: PassPlan) -> _core.Task:
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
    sums = Sums.about_the_mean(
        plan.n_examples,
        s0=result["s0"],
        norms=result["norms"],
        traces=result["k_totals"],
        summed=result["summed"],
        exponent=result["exponent"],
        constant=tuple(result["constant"]),
        products=plan.products,
        epsilon=EPSILON[plan.products],
        seconds=result["seconds"],
    )
    if "q_totals" in result:
        about_another = ("q_products", "q_totals", "r_products", "r_totals", "near_norms")
        sums = replace(sums, **{name: result[name] for name in about_another})
    return sums


class Permuter:
    """Centred Gram matrices of representations, for CKA under permutations of the examples.

    Raises
    ------
    InputError
        There are more examples than a permutation may have.
    """

    def __init__(
        self, views: Sequence[ArrayView], estimator: str, products: str, threads: int
    ) -> None:
        if views[0].n_examples > _core.most_permuted:
            raise InputError(
                f"expected at most {_core.most_permuted:,} examples to permute, got "
                f"{views[0].n_examples:,}: test a sample of the examples"
            )
        self._owners = views
        self._threads = threads
        require_room(threads * THREAD_BYTES, "permuting examples")
        self._permuted = _core.Permuted(
            [_view(view, staged=False) for view in views],
            estimator=estimator,
            implementation=resolve_implementation().name,
            products=products,
            threads=threads,
            progress=None,
        )

    def similarities(
        self, permutations: NDArray[np.int32], progress: Progress | None
    ) -> NDArray[np.float64]:
        """Return CKA, (count, M(M-1)/2), for permutations (count, n_examples).

        Example ``a`` of the first representation of a pair meets example ``permutations[k, a]`` of
        the second. Pairs are in the order of ``numpy.triu_indices(M, 1)``.
        """
        return self._permuted.similarities(permutations, threads=self._threads, progress=progress)

    @staticmethod
    def bytes_needed(
        n_examples: int, views: Sequence[View], products: str, threads: int, count: int
    ) -> int:
        """Return the bytes for ``count`` permutations at once."""
        size, m = 8 if products == "float64" else 4, len(views)
        centred = sum(n_examples * view.n_features for view in views) * size
        grams = _core.permuted_gram_bytes(n_examples, m, size)
        of_thread = _core.permuted_thread_bytes(n_examples, m, count, size)
        return grams + max(centred, threads * of_thread)


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
