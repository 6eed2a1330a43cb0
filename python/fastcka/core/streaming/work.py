"""A group that does not fit into the memory that it may use: begun and finished."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from fastcka.arrays import Rows, SlicedRows, aligned, rows_of
from fastcka.core.arrays import StagedRepresentation, as_view
from fastcka.core.memory import additional_bytes
from fastcka.core.options import Options
from fastcka.core.plan_cache import plan_on_cpu
from fastcka.core.request import Described, check_enough_examples, check_same_examples
from fastcka.core.result import Result
from fastcka.core.streaming.features import feature_sums
from fastcka.core.streaming.gram import GramPass
from fastcka.core.streaming.plan import StreamPlan, plan_stream
from fastcka.core.streaming.sources import Sources
from fastcka.core.views import ITEMSIZE, NATIVE, DeviceView, absent_array, check_shape
from fastcka.errors import DeviceError, InputError, OutOfMemoryError, StoreError
from fastcka.memory import FreeMemory, free_memory, require_memory, size_text, usable_memory
from fastcka.out_of_memory import named_shortage, require_room

#: The C library reserves up to 128 MiB of addresses for a thread, and more is needed for blocks.
THREAD_ROOM = 512 << 20

#: Addresses that NumPy's BLAS reserves at its first product. It ends the process if it cannot.
BLAS_BYTES = 64 << 20

_REMEDY = "compare fewer or narrower representations at once, or lower memory"


class StreamWork:
    """A group with a plan; its blocks are read when it is finished."""

    def __init__(
        self, group: Described, sources: Sources, plan: StreamPlan, options: Options
    ) -> None:
        self._group = group
        self._sources = sources
        self._options = options
        self._plan = plan

    def outcome(self) -> Result | InputError | StoreError:
        """Return the result, or why there is none. Call it once."""
        m, n = len(self._plan.n_features), self._plan.n_examples
        what = f"comparing {m:,} representations of {n:,} examples in blocks of rows"
        require_room(self._plan.bytes_needed, what, _REMEDY)
        try:
            with named_shortage(what, _REMEDY):
                return self._result()
        except (InputError, StoreError) as error:
            error.__context__ = None
            return error.with_traceback(None)

    def _result(self) -> Result:
        start = time.perf_counter()
        options = self._options
        if self._plan.route == "F":
            sums = feature_sums(self._sources, self._plan, options.progress)
        else:
            passes = GramPass(
                self._sources, self._plan, third_moments=options.inference is not None
            )
            sums = passes.sums(options.progress)
        sums.seconds = time.perf_counter() - start
        result = Result(self._group, options)
        result.put(sums, self._plan, sums.seconds)
        return result


def stream_work(group: Described, options: Options) -> StreamWork | None:
    """Return the work of a group that has to be read in blocks of rows; None for all others.

    That is one that needs more memory than it may use, and contains data that are not in memory,
    or an explicit limit.

    Raises
    ------
    InputError
        As `fastcka.compare`.
    DeviceError
        If it has to be read in blocks, and the device is a GPU.
    OutOfMemoryError
        If it does not fit in blocks either.
    """
    names = group.names
    absent = [rows_of(x, name) for x, name in zip(group.arrays, names, strict=True)]
    if (group.memory is None and not any(each is not None for each in absent)) or any(
        isinstance(x, StagedRepresentation) for x in group.arrays
    ):
        return None
    rows = _all_rows(aligned(group.arrays, names), names)
    if rows is None:
        return None
    check_same_examples([each.shape[0] for each in rows], names)
    check_enough_examples(rows[0].shape[0], options.estimator)
    reserve_blas()
    budget = usable_memory(group.memory)
    loaded = sum(_bytes_loaded(each) for each in rows)
    if options.device.startswith("cuda"):
        if loaded > budget.bytes:
            raise DeviceError(
                f"device is {options.device!r}, but to load the group takes {size_text(loaded)}, "
                f"{_may_be_used(budget)}, and blocks of rows are computed on the CPU only: choose "
                "device='cpu' or 'auto'"
            )
        return None
    n, widths = rows[0].shape[0], [each.n_features for each in rows]
    subsets = options.subsets(n, None if options.inference is None else group.blocks)
    in_memory = plan_on_cpu(
        [absent_array(n, each.n_features, _as_float(each), False) for each in rows],
        options.precision,
        options.threads,
        third_moments=options.inference is not None,
        subsets=0 if subsets is None else subsets.count,
    )
    needed = loaded + additional_bytes(in_memory)
    if needed <= budget.bytes:
        return None
    if options.subsets_of is not None:
        raise OutOfMemoryError(
            f"a curve needs all examples in memory: {size_text(needed)}, and "
            f"{_may_be_used(budget)}: compare fewer representations, or a sample of the examples"
        )
    if options.inference is not None and options.inference.folds:
        raise OutOfMemoryError(
            f"intervals need all examples in memory: {size_text(needed)}, and "
            f"{_may_be_used(budget)}: raise memory, or leave out inference "
            "(Inference(folds=0) computes p-values without intervals)"
        )
    if options.measures:
        raise OutOfMemoryError(
            f"{options.needs_cpu} needs all examples in memory: {size_text(needed)}, and "
            f"{_may_be_used(budget)}: raise memory, compare fewer representations, or leave the "
            "measure out"
        )
    if options.units == "same":
        raise InputError(
            f"units='same' needs all examples in memory: {size_text(needed)}, and "
            f"{_may_be_used(budget)}: raise memory, or use units='independent'"
        )
    plan = plan_stream(
        n,
        widths,
        itemsizes=[each.dtype.itemsize for each in rows],
        budget=budget,
        bytes_in_memory=needed,
        precision=options.precision,
        threads=options.threads if free_memory().bytes >= THREAD_ROOM else 1,
        third_moments=options.inference is not None,
    )
    require_memory(plan.bytes_needed, "comparing in blocks of rows", _REMEDY)
    return StreamWork(group, Sources(rows, names), plan, options)


@lru_cache(maxsize=1)
def reserve_blas() -> None:
    """Let NumPy's BLAS reserve its buffers: without room for them, it ends the process."""
    require_room(BLAS_BYTES, "the first product of matrices in NumPy", _REMEDY)
    square = np.ones((256, 256))  # large enough for all threads
    square @ square


def _all_rows(arrays: Sequence[Any], names: Sequence[str]) -> list[Rows] | None:
    """Return the rows of each array; None if one is on a GPU."""
    rows = []
    for x, name in zip(arrays, names, strict=True):
        each = rows_of(x, name)
        if each is None:
            if type(x) is not np.ndarray or x.dtype.kind not in "biuf":
                view = as_view(x, name)
                if isinstance(view, DeviceView):
                    return None
                x = view.owner
            each = SlicedRows(x, name, mapped=True)
        check_shape(each.shape, name)
        rows.append(each)
    return rows


def _as_float(rows: Rows) -> str:
    """Return the dtype in which a pass in memory takes the values."""
    if rows.dtype in NATIVE or rows.dtype.name in ITEMSIZE:
        return rows.dtype.name
    return "float32" if rows.dtype.kind in "biu" and rows.dtype.itemsize <= 2 else "float64"


def _bytes_loaded(rows: Rows) -> int:
    """Return the bytes that a representation takes in memory in addition to what it takes now."""
    converted = 0 if rows.dtype in NATIVE else rows.nbytes // rows.dtype.itemsize * 8
    return converted + (0 if rows.mapped else rows.nbytes)


def _may_be_used(budget: FreeMemory) -> str:
    return f"{size_text(budget.bytes)} may be used ({budget.limit})"
