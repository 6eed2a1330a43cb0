"""The one place that imports the compiled passes."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from fastcka import _core
from fastcka.core.cost import Speed
from fastcka.core.cuda.status import CudaStatus
from fastcka.core.estimators import Sums, non_finite_text
from fastcka.core.implementation import EPSILON, Implementation, Panels
from fastcka.core.plan import STAGING_LANES, PassPlan
from fastcka.core.views import ArrayView
from fastcka.errors import InputError
from fastcka.out_of_memory import THREAD_BYTES, require_room

if TYPE_CHECKING:
    from fastcka.core.cuda.runtime import CudaRuntime

Progress = Callable[[int, int], None]

version: str = _core.version

#: Forces an implementation of the inner loops, for tests and comparisons.
IMPLEMENTATION_VARIABLE = "FASTCKA_IMPLEMENTATION"

if _core.staging_lanes != STAGING_LANES:
    raise ImportError("fastcka's Python files and its compiled module are of different versions")


def resolve_threads(threads: int | None = None) -> tuple[int, str]:
    """The number of threads and where it came from: the argument, OMP_NUM_THREADS, or affinity."""
    if threads is not None:
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise InputError(f"threads must be a positive integer or None, got {threads!r}")
        return threads, "argument"
    text = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if text:
        if not text.isdecimal() or int(text) < 1:
            raise InputError(f"OMP_NUM_THREADS must be a positive integer, got {text!r}")
        return int(text), "OMP_NUM_THREADS"
    return len(os.sched_getaffinity(0)), "affinity"


def resolve_implementation() -> Implementation:
    """The preferred implementation here, or the one that FASTCKA_IMPLEMENTATION names."""
    tables = _implementations()
    wanted = os.environ.get(IMPLEMENTATION_VARIABLE) or next(iter(tables))
    if wanted not in tables:
        raise InputError(
            f"{IMPLEMENTATION_VARIABLE} is {wanted!r}, and this processor has {', '.join(tables)}"
        )
    return tables[wanted]


@cache
def speed_of(implementation: str, products: str, threads: int) -> Speed:
    """How fast an implementation runs here; measured once a process, in some milliseconds."""
    require_room(threads * THREAD_BYTES, "measuring the speed of a pass")
    return Speed(**_core.measure_speed(implementation, products, threads))


@cache
def _implementations() -> dict[str, Implementation]:
    return {
        table["name"]: Implementation(
            table["name"],
            Panels(*table["float64"]),
            Panels(*table["float32"]),
            None if table["fast"] is None else Panels(*table["fast"]),
        )
        for table in _core.implementations()
    }


class Pass(NamedTuple):
    """A group for the compiled pass; `names` are what errors call its representations."""

    views: Sequence[ArrayView]
    names: Sequence[str]
    plan: PassPlan


class Passed(NamedTuple):
    """What a pass gave, and its seconds by the clock from its first read to its sums."""

    sums: Sums
    seconds: float


def run_passes(
    passes: Sequence[Pass], *, threads: int, progress: Progress | None = None
) -> list[Passed | InputError]:
    """The sums of each group, or why it has none, by one call of the compiled pass.

    A group alone has all ``threads``; of several, each is computed by one, side by side, and the
    units of ``progress`` are groups. Staged representations are centred in place if the plan says
    so; those of a group that has no sums are as they were.

    Returns
    -------
    list
        For each group its sums; or an `InputError` for NaN or infinite values, with the
        representation, their number and the first position, or for a staged representation that
        shares memory with another of any group.
    """
    told = _core.run([_group_tuple(own) for own in passes], threads=threads, progress=progress)
    return [_passed(own, result) for own, result in zip(passes, told, strict=True)]


def _group_tuple(own: Pass) -> tuple[Any, ...]:
    plan = own.plan
    views = [
        (
            view.address,
            view.n_examples,
            view.n_features,
            view.row_stride,
            view.column_stride,
            view.dtype,
            view.staged and plan.in_place,
        )
        for view in own.views
    ]
    return (views, plan.route, plan.tile, plan.chunk, plan.implementation, plan.products)


def _passed(own: Pass, result: dict[str, Any]) -> Passed | InputError:
    if "refused" in result:
        return InputError(result["refused"])
    if "non_finite" in result:
        found = result["non_finite"]
        return InputError("; ".join(non_finite_text(own.names[at], *rest) for at, *rest in found))
    sums = Sums.about_the_mean(
        own.plan.n_examples,
        s0=result["s0"],
        norms=result["norms"],
        traces=result["k_totals"],
        summed=result["summed"],
        exponent=result["exponent"],
        constant=tuple(result["constant"]),
        products=own.plan.products,
        epsilon=EPSILON[own.plan.products],
    )
    if "q_totals" in result:
        about_another = ("q_products", "q_totals", "r_products", "r_totals", "near_norms")
        sums = replace(sums, **{name: result[name] for name in about_another})
    return Passed(sums, result["seconds"])


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
    """What was built for CUDA, what was found, and the reason if no device can be used."""
    return cuda_runtime().status()


def describe() -> dict[str, Any]:
    """What was built and what this machine will use."""
    threads, source = resolve_threads()
    return {
        "version": version,
        "compiler": _core.compiler,
        "implementations": list(_implementations()),
        "implementation": resolve_implementation().name,
        "threads": threads,
        "threads_source": source,
    }
