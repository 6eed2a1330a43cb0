"""All pairs of representations in one fused pass, for one group or many."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastcka.core.backend import Progress, resolve_threads, run_pass
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
from fastcka.core.plan import Precision
from fastcka.core.provenance import provenance_of
from fastcka.core.request import Group, Request
from fastcka.core.views import ArrayView
from fastcka.errors import InputError

if TYPE_CHECKING:
    from fastcka.core.cuda.session import CudaSession


def compare(
    representations: Sequence[Any] | Mapping[Any, Any],
    *,
    labels: Sequence[Any] | None = None,
    pairs: ArrayLike | None = None,
    estimator: Estimator = "unbiased",
    device: str = "auto",
    precision: Precision = "high",
    threads: int | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """CKA of all unique pairs of representations, both estimators, in one pass over the data.

    Linear CKA of Kornblith, Norouzi, Lee and Hinton 2019; the "unbiased" estimator of HSIC is that
    of Song et al. 2012 as used for CKA by Nguyen, Raghu and Kornblith 2021.

    Parameters
    ----------
    representations
        M arrays of shape (n_examples, n_features_i), or a mapping from label to array: the same
        examples, in the same order, in each; the numbers of features may differ. Axes after the
        first are flattened. float16, bfloat16, float32, float64 or integers, any strides; NumPy,
        torch, cupy, or anything with DLPack, on the CPU or on a CUDA device (where they are read as
        they lie, after the work on their library's current stream). `StagedRepresentation` is
        centred in place and used up.
    labels
        What each representation is called: a string, a mapping or a NamedTuple. Default: the keys
        of a mapping, else "0", "1", ...
    pairs
        (P, 2) positions of the pairs of interest; default all a < b. It limits what
        `Comparison.to_dataframe` lists; the matrices always hold all.
    estimator
        "unbiased" (n_examples >= 4) or "biased" (>= 2): the one that `Comparison.cka` gives.
    device
        "cpu", "cuda" (the device of the arrays, else the first), "cuda:1", or "auto": the device
        that the arrays lie on; for arrays on the CPU the one that is predicted to be faster.
        `Comparison.provenance` has the device, the reason and the plan.
    precision
        "high": products as exact as in float32 (in float64 for 64 examples or fewer), everything
        longer than a tile in float64; errors of CKA are below 1e-6. "fast": products of fp16
        numbers on a GPU (errors of CKA up to 2e-4), of bfloat16 on a CPU that multiplies those
        (AMX, AVX512_BF16: errors up to 5e-4, around 1e-5 for thousands of examples and hundreds of
        features); on another CPU the same as "high". "float64": products in float64. TF32 is never
        used. `Comparison.provenance` has the products and the implementation that took them.
    threads
        Of the CPU. Default: OMP_NUM_THREADS, else the processors that this process may use. The
        result has the same bits for any number.
    progress
        Called with (units done, units in all) a few times a second, from the calling thread.

    Returns
    -------
    Comparison
        A representation without variance, or (unbiased) whose examples are all equally far from
        each other, has NaN in its row and column, and a reason in `Comparison.undefined`.

    Raises
    ------
    InputError
        For fewer examples than the estimator needs, representations with different numbers of
        examples, NaN or infinite values, or arguments that are not what they must be.
    DeviceError
        For a device that cannot be used, with the reason, or whose memory does not suffice.

    Examples
    --------
    >>> import numpy as np, fastcka
    >>> x = np.random.default_rng(0).standard_normal((100, 8))
    >>> result = fastcka.compare({"x": x, "2x": 2 * x}, estimator="biased")
    >>> round(float(result.cka[0, 1]), 6)
    1.0
    """
    options = _Options(estimator, device, precision, threads, progress)
    return _begin(Group(representations, labels, pairs), options).finish()


def compare_groups(
    groups: Iterable[Group | Sequence[Any] | Mapping[Any, Any]],
    *,
    estimator: Estimator = "unbiased",
    device: str = "auto",
    precision: Precision = "high",
    threads: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Comparison]:
    """A `Comparison` of each group, in order, while the next group is already on its way.

    On a GPU a group is taken from ``groups``, copied there and centred while the one before it is
    computed; so at most two are there at a time. On the CPU each is taken when it is computed.

    Parameters
    ----------
    groups
        Each is a `Group` (representations with labels and pairs), or what `compare` takes as
        representations. Arrays on a GPU must not be written to before their result is there,
        except by work on the stream that was current when the group was taken.
    estimator, device, precision, threads
        As in `compare`; "auto" chooses for each group.
    progress
        As in `compare`, for the group that is worked on. On a GPU that is the next one while the
        result of the last is still to come.

    Raises
    ------
    InputError, DeviceError
        As `compare`, in place of the group's result: those of all groups before it come first.
    """
    options = _Options(estimator, device, precision, threads, progress)
    return _raising(_outcomes(groups, options))


def compare_each(
    groups: Iterable[Group | Sequence[Any] | Mapping[Any, Any]],
    *,
    estimator: Estimator = "unbiased",
    device: str = "auto",
    precision: Precision = "high",
    threads: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Comparison | InputError]:
    """As `compare_groups`, but a group that cannot be compared ends nothing.

    Its `InputError` stands in the place of its result. What is wrong with a device is raised.
    """
    return _outcomes(groups, _Options(estimator, device, precision, threads, progress))


def _raising(outcomes: Iterator[Comparison | InputError]) -> Iterator[Comparison]:
    for outcome in outcomes:
        if isinstance(outcome, InputError):
            raise outcome
        yield outcome


def _outcomes(
    groups: Iterable[Group | Sequence[Any] | Mapping[Any, Any]], options: _Options
) -> Iterator[Comparison | InputError]:
    ahead: _CudaWork | None = None
    for work in _works(groups, options):
        if ahead is not None:
            yield ahead.outcome()
            ahead = None
        if isinstance(work, _Ended):
            raise work.error
        if isinstance(work, _CudaWork):
            ahead = work
        elif isinstance(work, InputError):
            yield work
        else:
            yield work.outcome()
        del work  # its arrays, before the next group is taken
    if ahead is not None:
        yield ahead.outcome()


@dataclass(frozen=True)
class _Ended:
    """What ends the groups, when all before it have had their turn."""

    error: Exception


def _works(
    groups: Iterable[Group | Sequence[Any] | Mapping[Any, Any]], options: _Options
) -> Iterator[_CpuWork | _CudaWork | InputError | _Ended]:
    """Each group begun, or why it cannot be."""
    try:
        for group in groups:
            try:
                work: _CpuWork | _CudaWork | InputError = _begin(
                    group if isinstance(group, Group) else Group(group), options
                )
            except InputError as error:
                work = error
            yield work
            del group, work
    except Exception as error:
        yield _Ended(error)


class _Options:
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


def _begin(group: Group, options: _Options) -> _CpuWork | _CudaWork:
    """Everything up to the pass; on a GPU the pass is on its way."""
    request = Request.of_group(group, options.estimator)
    choice = choose_device(
        options.device, request.views, request.names, options.precision, options.threads
    )
    if isinstance(choice, OnCuda):
        problem = Problem.of_views(request.views)
        opened = open_session(choice, problem, options.precision, options.threads)
        if not isinstance(opened, OnCpu):
            return _CudaWork(request, choice, opened, options)
        choice = opened
    return _CpuWork(request, choice, options)


class _Work:
    """A group whose result can be had once."""

    def finish(self) -> Comparison:
        raise NotImplementedError

    def outcome(self) -> Comparison | InputError:
        """The result, or why there is none."""
        try:
            return self.finish()
        except InputError as error:
            return error


class _CpuWork(_Work):
    """A group whose pass runs when it is finished."""

    def __init__(self, request: Request, choice: OnCpu, options: _Options) -> None:
        self._request = request
        self._choice = choice
        self._options = options

    def finish(self) -> Comparison:
        plan, request = self._choice.plan, self._request
        views = [view for view in request.views if isinstance(view, ArrayView)]
        start = time.perf_counter()
        try:
            sums = run_pass(views, request.names, plan, progress=self._options.progress)
        except InputError:
            raise  # such errors come before anything is written
        except BaseException:
            request.consume()
            raise
        request.consume()
        seconds = time.perf_counter() - start
        told = provenance_of(plan, reason=self._choice.reason, seconds=seconds)
        return _comparison(request.labels, request.pairs, self._options.estimator, sums, told)


class _CudaWork(_Work):
    """A group whose pass is on its way; nothing of the host's memory is held."""

    def __init__(
        self, request: Request, choice: OnCuda, session: CudaSession, options: _Options
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

    def finish(self) -> Comparison:
        sums = self._pending.result()
        seconds = time.perf_counter() - self._start
        if self._options.progress is not None:
            self._options.progress(self._units, self._units)
        told = provenance_of(
            self._pending.plan,
            reason=self._reason,
            seconds=seconds,
            cublas_version=self._cublas_version,
        )
        return _comparison(self._labels, self._pairs, self._options.estimator, sums, told)


def _comparison(
    labels: tuple[dict[str, Any], ...],
    pairs: NDArray[np.int64],
    estimator: Estimator,
    sums: Sums,
    provenance: dict[str, Any],
) -> Comparison:
    biased, unbiased = estimate(sums, "biased"), estimate(sums, "unbiased")
    return Comparison(
        labels=labels,
        estimator=estimator,
        n_examples=sums.n_examples,
        biased=biased.cka,
        unbiased=unbiased.cka,
        hsic_biased=biased.hsic,
        hsic_unbiased=unbiased.hsic,
        pairs=pairs,
        provenance=provenance,
        undefined=(biased if estimator == "biased" else unbiased).undefined,
    )
