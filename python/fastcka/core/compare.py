"""All pairs of representations in one fused pass, for one group or many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from fastcka.core.backend import Progress
from fastcka.core.comparison import Comparison
from fastcka.core.estimators import Estimator
from fastcka.core.flight import FlightLoad, is_small
from fastcka.core.plan import Precision
from fastcka.core.request import Group
from fastcka.core.work import Begun, CpuWork, CudaWork, Options, begin, finish
from fastcka.errors import InputError


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
        centred in place and used up. Integers that float64 cannot hold have a constant of their
        column subtracted, which changes neither CKA nor HSIC, or are refused.

        Rows of pandas tables and xarray arrays are matched by label: the index, or the coordinate
        of the first dimension. The same labels in another order are brought to the first one's
        order; labels that differ, or repeat, are refused. A plain array has no labels, and is
        matched by position; so is an index that pandas made up (0 to n-1), unless another one is
        of integers too.
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
        "high": products in float32 (in float64 for small passes and for 64 examples or fewer, and
        again in float64 where they lose digits), everything longer than a tile in float64;
        errors of CKA are below 1e-6. "fast": products of fp16
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
        examples or other row labels, NaN, infinite, masked or missing values, integers that float64
        cannot hold, or arguments that are not what they must be.
    DeviceError
        For a device that cannot be used, with the reason, or whose memory does not suffice.
    OutOfMemoryError
        The pass needs more memory than is free (`fastcka.memory_check` turns this prediction off),
        or an allocation failed. Staged representations are used up if the pass had begun.

    Examples
    --------
    >>> import numpy as np, fastcka
    >>> x = np.random.default_rng(0).standard_normal((100, 8))
    >>> result = fastcka.compare({"x": x, "2x": 2 * x}, estimator="biased")
    >>> round(float(result.cka[0, 1]), 6)
    1.0
    """
    options = Options(estimator, device, precision, threads, progress)
    work = begin(Group(representations, labels, pairs), options, alone=True)
    (outcome,) = finish([work], options)
    if isinstance(outcome, InputError):
        raise outcome
    return outcome


AnyGroup = Group | Sequence[Any] | Mapping[Any, Any]


def compare_groups(
    groups: Iterable[AnyGroup],
    *,
    estimator: Estimator = "unbiased",
    device: str = "auto",
    precision: Precision = "high",
    threads: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Comparison]:
    """A `Comparison` of each group, in order; small groups are computed together.

    On the CPU, groups are taken from ``groups`` until a flight of small ones is full; then these
    are computed side by side, each by one thread, and their results come in turn. A flight has at
    most 256 groups, whose arrays take at most 32 MiB a thread (`fastcka.core.flight` has the
    numbers). A group that is not small (16 MiB with all that its pass needs, or 3 Gflop), or that
    has a `StagedRepresentation`, is computed alone, by all threads; it is taken when all before it
    are computed but for one flight of small ones.

    On a GPU a group is taken, copied there and centred while the one before it is computed; so at
    most two are there at a time.

    Parameters
    ----------
    groups
        Each is a `Group` (representations with labels and pairs), or what `compare` takes as
        representations. Arrays must not be written to before their group's result is there: a
        source must not fill the same arrays again for its next group. (Arrays on a GPU may be
        written to by work on the stream that was current when the group was taken. Therefore their
        group is not computed again in float64 where its products lose digits.)
    estimator, device, precision, threads
        As in `compare`; "auto" chooses for each group.
    progress
        As in `compare`, for the group that is worked on, or for those that are computed together:
        then the units are groups. On a GPU that is the next group while the result of the last is
        still to come.

    Raises
    ------
    InputError, DeviceError, OutOfMemoryError
        As `compare`, in place of the group's result: those of all groups before it come first.
    """
    options = Options(estimator, device, precision, threads, progress)
    return _raising(_outcomes(_collected(groups, options), options))


def compare_each(
    groups: Iterable[AnyGroup],
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
    options = Options(estimator, device, precision, threads, progress)
    return _flat(_outcomes(_collected(groups, options), options))


def compare_flights(
    flights: Iterable[Iterable[AnyGroup]],
    *,
    estimator: Estimator = "unbiased",
    device: str = "auto",
    precision: Precision = "high",
    threads: int | None = None,
    progress: Progress | None = None,
) -> Iterator[list[Comparison | InputError]]:
    """As `compare_each`, for a caller who says which groups are computed together.

    The outcomes of a flight come at once. On the CPU a flight is taken when those before it are
    computed; its memory is the caller's care, and it may have staged representations. On a GPU a
    flight is taken while the one before it is computed.
    """
    options = Options(estimator, device, precision, threads, progress)
    return _outcomes(_begun(flights, options), options)


def _flat(flights: Iterator[list[Comparison | InputError]]) -> Iterator[Comparison | InputError]:
    for outcomes in flights:
        yield from outcomes


def _raising(flights: Iterator[list[Comparison | InputError]]) -> Iterator[Comparison]:
    for outcome in _flat(flights):
        if isinstance(outcome, InputError):
            raise outcome
        yield outcome


@dataclass(frozen=True)
class _Ended:
    """What ends the groups, when all before it have had their turn."""

    error: Exception


def _outcomes(
    flights: Iterator[list[Begun] | _Ended], options: Options
) -> Iterator[list[Comparison | InputError]]:
    ahead: list[Begun] = []
    for flight in flights:
        if ahead:
            yield _finish(ahead, options)
        if isinstance(flight, _Ended):
            raise flight.error
        if any(isinstance(work, CudaWork) for work in flight):
            ahead = flight
        else:
            yield _finish(flight, options)
    if ahead:
        yield _finish(ahead, options)


def _finish(flight: list[Begun], options: Options) -> list[Comparison | InputError]:
    outcomes = finish(flight, options)
    flight.clear()  # its arrays, before the next group is taken
    return outcomes


def _begin(group: AnyGroup, options: Options) -> Begun:
    try:
        return begin(group if isinstance(group, Group) else Group(group), options)
    except InputError as error:
        error.__context__ = error.__cause__ = None
        return error.with_traceback(None)  # whose frames hold on to the arrays


def _begun(
    flights: Iterable[Iterable[AnyGroup]], options: Options
) -> Iterator[list[Begun] | _Ended]:
    """Each flight begun."""
    try:
        for flight in flights:
            begun = [_begin(group, options) for group in flight]
            del flight
            yield begun
    except Exception as error:
        yield _Ended(error)


def _collected(groups: Iterable[AnyGroup], options: Options) -> Iterator[list[Begun] | _Ended]:
    """The groups begun, in flights; the list that is yielded is its taker's."""
    flight: list[Begun] = []
    load = FlightLoad(options.threads)
    try:
        for group in groups:
            work = _begin(group, options)
            del group  # of no use any more, and the next group may need the room
            alone = not isinstance(work, InputError) and not _goes_with_others(work)
            if alone and flight:
                yield flight
                flight, load = [], FlightLoad(options.threads)
            flight.append(work)
            if isinstance(work, CpuWork):
                load.add(work.plan)
            elif isinstance(work, InputError):
                load.add_failed()
            del work
            if alone or load.full:
                yield flight
                flight, load = [], FlightLoad(options.threads)
    except Exception as error:
        if flight:
            yield flight
        yield _Ended(error)
        return
    if flight:
        yield flight


def _goes_with_others(work: CpuWork | CudaWork) -> bool:
    # A staged representation may lie in memory that the caller's next group has too.
    return isinstance(work, CpuWork) and is_small(work.plan) and not work.request.staged
