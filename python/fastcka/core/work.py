"""A group on its way: begun, then finished, on the CPU together with others of its flight."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastcka.core.backend import Pass, Passed, Progress, resolve_threads, run_passes
from fastcka.core.comparison import Comparison
from fastcka.core.device import (
    OnCpu,
    OnCuda,
    Problem,
    check_device,
    check_precision,
    choose_device,
    open_session,
)
from fastcka.core.estimators import ESTIMATORS, Estimator, Sums, estimate
from fastcka.core.memory import named_memory, require_memory_of
from fastcka.core.plan import Precision
from fastcka.core.provenance import provenance_of
from fastcka.core.request import Group, Request
from fastcka.core.views import ArrayView
from fastcka.errors import InputError
from fastcka.out_of_memory import named_shortage

if TYPE_CHECKING:
    from fastcka.core.cuda.session import CudaSession


class Options:
    """The options that groups share, checked."""

    def __init__(
        self,
        estimator: Estimator,
        device: str,
        precision: Precision,
        threads: int | None,
        progress: Progress | None,
    ) -> None:
        if estimator not in ESTIMATORS:
            raise InputError(f"estimator must be one of {', '.join(ESTIMATORS)}, got {estimator!r}")
        if progress is not None and not callable(progress):
            raise InputError(f"progress must be callable or None, got {progress!r}")
        check_precision(precision)
        check_device(device)
        self.estimator = estimator
        self.device = device
        self.precision = precision
        self.threads, _ = resolve_threads(threads)
        self.progress = progress


class BothEstimates:
    """The biased and the unbiased estimates of all pairs of a group."""

    def __init__(self, sums: Sums) -> None:
        self._n_examples = sums.n_examples
        self._of = {"biased": estimate(sums, "biased"), "unbiased": estimate(sums, "unbiased")}

    @property
    def imprecise(self) -> frozenset[int]:
        """Positions of the representations that need wider products."""
        return frozenset().union(*(of.imprecise for of in self._of.values()))

    def comparison(
        self,
        labels: tuple[dict[str, Any], ...],
        pairs: NDArray[np.int64],
        estimator: Estimator,
        provenance: dict[str, Any],
    ) -> Comparison:
        """The estimates with their labels."""
        biased, unbiased = self._of["biased"], self._of["unbiased"]
        return Comparison(
            labels=labels,
            estimator=estimator,
            n_examples=self._n_examples,
            biased=biased.cka,
            unbiased=unbiased.cka,
            hsic_biased=biased.hsic,
            hsic_unbiased=unbiased.hsic,
            pairs=pairs,
            provenance=provenance,
            undefined=self._of[estimator].undefined,
        )


class CpuWork:
    """A group that is viewed and planned; its pass runs when its flight is finished."""

    def __init__(self, request: Request, choice: OnCpu, options: Options) -> None:
        self.request = request
        self.plan = choice.plan
        self.reason = choice.reason
        self.options = options

    def take_one_thread(self) -> None:
        """Plan for a single thread: the others compute other groups."""
        if self.plan.threads > 1:
            problem = Problem.of_views(self.request.views)
            self.plan = problem.plan_on_cpu(self.options.precision, 1)

    def to_pass(self) -> Pass:
        """What the compiled pass takes."""
        views = [view for view in self.request.views if isinstance(view, ArrayView)]
        return Pass(views, self.request.names, self.plan)

    def comparison(self, passed: Passed) -> Comparison:
        """The result, from what the pass returned.

        Where float32 products have lost the digits of an unbiased estimate, float64 products take
        their place, if the pass has not overwritten the data.
        """
        estimates = BothEstimates(passed.sums)
        seconds = passed.seconds
        overwritten = self.plan.in_place and self.request.staged
        if estimates.imprecise and not overwritten:
            names = ", ".join(self.request.names[i] for i in sorted(estimates.imprecise))
            lost = f"float64, since {self.plan.products} products lost the digits of {names}"
            problem = Problem.of_views(self.request.views)
            plan = problem.plan_on_cpu("float64", self.options.threads)
            reason = f"{plan.reason}; {lost}"
            self.plan = replace(plan, precision=self.plan.precision, reason=reason)
            require_memory_of(self.plan)
            with named_memory([self.plan], self.plan.threads):
                (again,) = run_passes([self.to_pass()], threads=self.plan.threads)
            if isinstance(again, InputError):
                raise again
            estimates = BothEstimates(again.sums)
            seconds += again.seconds
        provenance = provenance_of(self.plan, reason=self.reason, seconds=seconds)
        request = self.request
        return estimates.comparison(
            request.labels, request.pairs, self.options.estimator, provenance
        )


class CudaWork:
    """A group whose pass is on its way; nothing of the host's memory is held."""

    def __init__(
        self, request: Request, choice: OnCuda, session: CudaSession, options: Options
    ) -> None:
        self._labels = request.labels
        self._pairs = request.pairs
        self._reason = choice.reason
        self._options = options
        self._cublas_version = session.cublas.version
        self._start = time.perf_counter()
        self._units = len(request.views) + 1
        try:
            self._pending = session.submit(
                request.views, request.names, choice.plan, progress=options.progress
            )
        finally:
            request.consume()

    def outcome(self) -> Comparison | InputError:
        """The result, or why there is none; to be had once."""
        try:
            sums = self._pending.result()
        except InputError as error:
            return error
        seconds = time.perf_counter() - self._start
        if self._options.progress is not None:
            self._options.progress(self._units, self._units)
        told = provenance_of(
            self._pending.plan,
            reason=self._reason,
            seconds=seconds,
            cublas_version=self._cublas_version,
        )
        both = BothEstimates(sums)
        return both.comparison(self._labels, self._pairs, self._options.estimator, told)


Begun = CpuWork | CudaWork | InputError
"""A group that is begun, or why it cannot be."""


@named_shortage("preparing representations")
def begin(group: Group, options: Options) -> CpuWork | CudaWork:
    """Everything up to the pass; on a GPU the pass is on its way."""
    request = Request.of_group(group, options.estimator)
    choice = choose_device(
        options.device, request.views, request.names, options.precision, options.threads
    )
    if isinstance(choice, OnCuda):
        problem = Problem.of_views(request.views)
        opened = open_session(choice, problem, options.precision, options.threads)
        if not isinstance(opened, OnCpu):
            return CudaWork(request, choice, opened, options)
        choice = opened
    require_memory_of(choice.plan)
    return CpuWork(request, choice, options)


def finish(flight: Sequence[Begun], options: Options) -> list[Comparison | InputError]:
    """The outcome of each; those on the CPU go through one call of the compiled pass."""
    works = [work for work in flight if isinstance(work, CpuWork)]
    on_cpu = iter(_finish_on_cpu(works, options))
    return [
        next(on_cpu)
        if isinstance(work, CpuWork)
        else work.outcome()
        if isinstance(work, CudaWork)
        else work
        for work in flight
    ]


def _finish_on_cpu(works: Sequence[CpuWork], options: Options) -> list[Comparison | InputError]:
    if not works:
        return []
    threads = works[0].plan.threads
    if len(works) > 1:
        threads = min(options.threads, len(works))
        for work in works:
            work.take_one_thread()
    with named_memory([work.plan for work in works], threads):
        return _passed(works, threads, options)


def _passed(
    works: Sequence[CpuWork], threads: int, options: Options
) -> list[Comparison | InputError]:
    try:
        passed = run_passes(
            [work.to_pass() for work in works], threads=threads, progress=options.progress
        )
        outcomes: list[Comparison | InputError] = []
        for work, done in zip(works, passed, strict=True):
            if isinstance(done, InputError):  # found before anything of the group was written
                outcomes.append(done)
            else:
                outcomes.append(work.comparison(done))
                work.request.consume()
    except BaseException:  # which of the staged ones are overwritten is not known
        for work in works:
            work.request.consume()
        raise
    return outcomes
