"""The one place that imports the compiled pass."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastcka import _core
from fastcka.core.arrays import ArrayView
from fastcka.core.estimators import Sums
from fastcka.core.plan import (
    PRECISIONS,
    STAGING_LANES,
    Granularity,
    Implementation,
    PassPlan,
    Precision,
    make_plan,
)
from fastcka.errors import DeviceError, InputError

Progress = Callable[[int, int], None]

version: str = _core.version

#: Forces an implementation of the inner loops, for tests and comparisons.
IMPLEMENTATION_VARIABLE = "FASTCKA_IMPLEMENTATION"
ITEMSIZE = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}

if _core.staging_lanes != STAGING_LANES:
    raise ImportError("fastcka's Python files and its compiled module are of different versions")


def resolve_device(device: str) -> str:
    """The device that ``device`` stands for; "auto" is the CPU in this build."""
    if device in ("auto", "cpu"):
        return "cpu"
    if device == "cuda" or device.startswith("cuda:"):
        raise DeviceError(
            f"device {device!r} cannot be used: this build of fastcka has no CUDA part; "
            f"use device='cpu' or 'auto'"
        )
    raise InputError(f"device must be 'auto' or 'cpu', got {device!r}")


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
    tables = {table["name"]: table for table in _core.implementations()}
    wanted = os.environ.get(IMPLEMENTATION_VARIABLE) or next(iter(tables))
    if wanted not in tables:
        raise InputError(
            f"{IMPLEMENTATION_VARIABLE} is {wanted!r}, and this processor has {', '.join(tables)}"
        )
    grains = [Granularity(*grain) for grain in tables[wanted]["granularity"]]
    return Implementation(wanted, *grains)


def plan_pass(
    n_examples: int,
    n_features: Sequence[int],
    *,
    dtype: str | Sequence[str] = "float32",
    precision: Precision = "high",
    threads: int | None = None,
    staged: bool = False,
) -> PassPlan:
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
        "high" or "float64", as in `fastcka.compare`.
    threads
        None: OMP_NUM_THREADS, else the processors that this process may use.
    staged
        The representations are read into buffers that the pass centres in place.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    if n_examples < 1 or not n_features or min(n_features) < 1:
        raise InputError(
            f"a pass needs at least one example, representation and feature, "
            f"got n_examples={n_examples}, n_features={list(n_features)}"
        )
    dtypes = [dtype] * len(n_features) if isinstance(dtype, str) else list(dtype)
    return make_plan(
        n_examples,
        n_features,
        itemsizes=[ITEMSIZE[name] for name in dtypes],
        implementation=resolve_implementation(),
        threads=resolve_threads(threads)[0],
        precision=precision,
        staged=staged,
    )


def run_pass(
    views: Sequence[ArrayView],
    names: Sequence[str],
    plan: PassPlan,
    *,
    progress: Progress | None = None,
) -> Sums:
    """S0 and k of all representations; staged ones are centred in place if the plan says so.

    Raises
    ------
    InputError
        For NaN or infinite values, with the representation, their number and the first position;
        or if a staged representation shares memory with another.
    """
    try:
        result: dict[str, Any] = _core.run(
            [
                (
                    view.address,
                    view.n_examples,
                    view.n_features,
                    view.row_stride,
                    view.column_stride,
                    view.dtype,
                    view.staged and plan.in_place,
                )
                for view in views
            ],
            route=plan.route,
            tile=plan.tile,
            chunk=plan.chunk,
            float64=plan.products == "float64",
            threads=plan.threads,
            implementation=plan.implementation,
            progress=progress,
        )
    except ValueError as error:  # what only the compiled side can see: shared memory
        raise InputError(str(error)) from error
    if result["non_finite"]:
        raise InputError("; ".join(_non_finite(names, *found) for found in result["non_finite"]))
    return Sums(
        result["s0"],
        result["k"],
        result["norms"],
        result["exponent"],
        tuple(result["constant"]),
        float(np.finfo(plan.products).eps),
    )


def _non_finite(names: Sequence[str], which: int, count: int, row: int, column: int) -> str:
    if count == 0:
        return f"{names[which]} holds values too large to sum in float64"
    return (
        f"{names[which]} holds {count} NaN or infinite value{'s' * (count != 1)}, "
        f"the first at example {row}, feature {column}"
    )


def describe() -> dict[str, Any]:
    """What was built and what this machine will use."""
    threads, source = resolve_threads()
    return {
        "version": version,
        "compiler": _core.compiler,
        "implementations": [table["name"] for table in _core.implementations()],
        "implementation": resolve_implementation().name,
        "threads": threads,
        "threads_source": source,
    }
