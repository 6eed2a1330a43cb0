"""The computation of a group: it is begun, then finished; on the CPU with others of its flight."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from fastcka.core.backend import run_passes
from fastcka.core.base_plan import Precision
from fastcka.core.device import choose_device, open_session, plan_on_cuda
from fastcka.core.inference_device import choose_for_inference
from fastcka.core.memory import named_memory, require_memory_of
from fastcka.core.options import Options
from fastcka.core.plan import PassPlan
from fastcka.core.plan_cache import plan_on_cpu
from fastcka.core.request import Described, Group, Request
from fastcka.core.result import Result
from fastcka.core.streaming.work import StreamWork, stream_work
from fastcka.core.sums import Sums
from fastcka.core.views import DeviceView
from fastcka.errors import InputError, OutOfMemoryError, StoreError
from fastcka.out_of_memory import named_shortage

if TYPE_CHECKING:
    from fastcka.core.cuda.plan import CudaPlan
    from fastcka.core.cuda.session import CudaSession


class CpuWork:
    """A group with views and a plan; its pass runs when its flight is finished."""

    def __init__(self, request: Request, plan: PassPlan, options: Options) -> None:
        self.request = request
        self.plan = plan
        self._options = options

    def take_one_thread(self) -> None:
        """Plan for a single thread, because the other threads compute other groups."""
        if self.plan.threads > 1:
            self.plan = self._planned(self._options.precision, 1)

    def result(self, sums: Sums) -> Result:
        """Return the result, from the sums of the pass.

        If float32 products have lost the digits of an unbiased estimate, the pass is repeated with
        float64 products, unless it has overwritten the data.
        """
        result = Result(self.request, self._options)
        result.put(sums, self.plan, sums.seconds)
        imprecise = result.imprecise
        if imprecise and not (self.plan.in_place and self.request.staged):
            with suppress(OutOfMemoryError):  # the values are then NaN, with the reason
                again = self._again(imprecise)
                result.put(again, self.plan, sums.seconds + again.seconds)
        return result

    def _planned(self, precision: Precision, threads: int) -> PassPlan:
        return plan_on_cpu(
            self.request.views,
            precision,
            threads,
            self.plan.device_reason,
            third_moments=self.plan.third_moments,
            subsets=self.plan.subsets,
        )

    def _again(self, lost: frozenset[int]) -> Sums:
        """Return the sums of the same pass with float64 products."""
        wider = self._planned("float64", self._options.threads)
        reason = wider.reason + _lost_digits(self.plan.products, lost, self.request)
        wider = replace(wider, precision=self.plan.precision, reason=reason)
        require_memory_of(wider)
        with named_memory([wider], wider.threads):
            (again,) = run_passes([self.request], [wider], threads=wider.threads)
        if isinstance(again, InputError):
            raise again
        self.plan = wider
        return again


class CudaWork:
    """A group whose pass is queued on a GPU.

    Parameters
    ----------
    keep
        Whether the arrays are kept until the result is complete, because they do not change.
    """

    def __init__(
        self,
        request: Request,
        plan: CudaPlan,
        session: CudaSession,
        options: Options,
        *,
        keep: bool,
    ) -> None:
        self._result = Result(request, options)
        self._options = options
        self._session = session
        self._start = time.perf_counter()
        self._units = len(request.views) + 1
        self._kept = request if keep and not request.staged else None
        try:
            self._pending = session.submit(
                request.views, request.names, plan, progress=options.progress
            )
        finally:
            request.consume()

    def outcome(self) -> Result | InputError:
        """Return the result, or why there is none. Call it once.

        If the products have lost the digits of an unbiased estimate, the pass is repeated with
        float64 products, if the arrays are kept.
        """
        result = self._result
        try:
            self._put(self._pending.result())
            imprecise = result.imprecise
            if imprecise and self._kept is not None:
                self._put(self._again(self._kept, imprecise))
        except InputError as error:
            return error
        finally:
            self._kept = None
        if self._options.progress is not None:
            self._options.progress(self._units, self._units)
        return result

    def _put(self, sums: Sums) -> None:
        seconds = time.perf_counter() - self._start
        self._result.put(sums, self._pending.plan, seconds, self._session.cublas.version)

    def _again(self, request: Request, lost: frozenset[int]) -> Sums:
        plan = self._pending.plan
        index, why = plan.device.index, plan.device_reason
        wider = plan_on_cuda(request.views, "float64", index, why, threads=plan.threads)
        reason = wider.reason + _lost_digits(plan.products, lost, request)
        wider = replace(wider, precision=plan.precision, reason=reason)
        self._pending = self._session.submit(request.views, request.names, wider)
        return self._pending.result()


def _lost_digits(products: str, lost: frozenset[int], request: Request) -> str:
    names = ", ".join(request.names[i] for i in sorted(lost))
    return f"; float64, since {products} products lost the digits of {names}"


Begun = CpuWork | CudaWork | StreamWork | InputError
"""A group that was begun, or why it cannot be computed."""


@named_shortage("preparing representations")
def begin(
    group: Group | Described, options: Options, *, alone: bool = False
) -> CpuWork | CudaWork | StreamWork:
    """Check and plan a group; on a GPU, also queue its pass.

    If a group is not `alone`, the caller may write to its arrays on a GPU before its result is
    complete.
    """
    described = Described.of_group(group) if isinstance(group, Group) else group
    streamed = stream_work(described, options)
    if streamed is not None:
        return streamed
    if described.blocks is None and options.inference is not None:
        described = replace(described, blocks=options.inference.blocks)
    request = Request.of_group(described, options.estimator)
    request.subsets = options.subsets(request.views[0].n_examples, request.blocks)
    plan: PassPlan | CudaPlan
    if options.needs_cpu:
        plan = choose_for_inference(
            options.needs_cpu,
            options.device,
            request.views,
            request.names,
            options.precision,
            options.threads,
            third_moments=options.inference is not None,
            subsets=0 if request.subsets is None else request.subsets.count,
        )
    else:
        plan = choose_device(
            options.device, request.views, request.names, options.precision, options.threads
        )
    if not isinstance(plan, PassPlan):
        session = open_session(plan, request.views, options.threads)
        if not isinstance(session, PassPlan):
            on_device = any(isinstance(view, DeviceView) for view in request.views)
            return CudaWork(request, plan, session, options, keep=alone or not on_device)
        plan = session
    require_memory_of(plan)
    if options.measures:
        from fastcka.core.measures.compute import measured

        # Before the pass, which overwrites staged representations.
        request.measured = measured(request.views, request.names, options.measures)
    return CpuWork(request, plan, options)


def finish(flight: Sequence[Begun], options: Options) -> list[Result | InputError | StoreError]:
    """Return the outcome of each; one call of the compiled pass computes all groups on the CPU."""
    works = [work for work in flight if isinstance(work, CpuWork)]
    on_cpu = iter(_finish_on_cpu(works, options))
    return [
        next(on_cpu)
        if isinstance(work, CpuWork)
        else work.outcome()
        if isinstance(work, CudaWork | StreamWork)
        else work
        for work in flight
    ]


def _finish_on_cpu(works: Sequence[CpuWork], options: Options) -> list[Result | InputError]:
    if not works:
        return []
    threads = works[0].plan.threads
    if len(works) > 1:
        threads = min(options.threads, len(works))
        for work in works:
            work.take_one_thread()
    with named_memory([work.plan for work in works], threads):
        return _run(works, threads, options)


def _run(works: Sequence[CpuWork], threads: int, options: Options) -> list[Result | InputError]:
    try:
        results = run_passes(
            [work.request for work in works],
            [work.plan for work in works],
            threads=threads,
            progress=options.progress,
        )
        outcomes: list[Result | InputError] = []
        for work, result in zip(works, results, strict=True):
            if isinstance(result, InputError):  # raised before the group's buffers were written
                outcomes.append(result)
            else:
                outcomes.append(work.result(result))
                work.request.consume()
    except BaseException:  # it is unknown which staged buffers are overwritten
        for work in works:
            work.request.consume()
        raise
    return outcomes
