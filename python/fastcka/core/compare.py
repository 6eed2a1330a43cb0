"""All pairs of representations in one fused pass, for one group or many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

from numpy.typing import ArrayLike

from fastcka.core.backend import Progress
from fastcka.core.base_plan import Precision
from fastcka.core.comparison import Comparison
from fastcka.core.cross import CrossComparison
from fastcka.core.device_name import EVERY_GPU, Device
from fastcka.core.estimators import Estimator
from fastcka.core.group_queue import GroupQueue
from fastcka.core.inference.options import Inference
from fastcka.core.members import refuse_lists_of_matrices
from fastcka.core.options import DEFAULT_MEASURES, Options, Units
from fastcka.core.plain import plain_values
from fastcka.core.request import AnyGroup, Described, Flight, Group
from fastcka.core.result import Result
from fastcka.core.work import begin, finish
from fastcka.errors import InputError, StoreError

if TYPE_CHECKING:
    from fastcka.core.measures.measure import Measure
    from fastcka.core.measures.table import MeasureName

    Measures = Sequence[MeasureName | Measure]


@overload
def compare(
    representations: Sequence[Any] | Mapping[Any, Any],
    others: None = None,
    *,
    labels: Sequence[Any] | None = ...,
    pairs: ArrayLike | None = ...,
    estimator: Estimator = ...,
    device: Device = ...,
    precision: Precision = ...,
    threads: int | None = ...,
    progress: Progress | None = ...,
    inference: bool | Inference = ...,
    units: Units = ...,
    memory: int | str | None = ...,
    measures: Measures = ...,
) -> Comparison: ...


@overload
def compare(
    representations: Sequence[Any] | Mapping[Any, Any],
    others: Sequence[Any] | Mapping[Any, Any],
    *,
    labels: Sequence[Any] | None = ...,
    estimator: Estimator = ...,
    device: Device = ...,
    precision: Precision = ...,
    threads: int | None = ...,
    progress: Progress | None = ...,
    inference: bool | Inference = ...,
    units: Units = ...,
    memory: int | str | None = ...,
    measures: Measures = ...,
) -> CrossComparison: ...


def compare(
    representations: Sequence[Any] | Mapping[Any, Any],
    others: Sequence[Any] | Mapping[Any, Any] | None = None,
    *,
    labels: Sequence[Any] | None = None,
    pairs: ArrayLike | None = None,
    estimator: Estimator = "unbiased",
    device: Device = "auto",
    precision: Precision = "high",
    threads: int | None = None,
    progress: Progress | None = None,
    inference: bool | Inference = False,
    units: Units = "independent",
    memory: int | str | None = None,
    measures: Measures = DEFAULT_MEASURES,
) -> Comparison | CrossComparison:
    """Compute the CKA of every pair of representations, by both estimators, in one pass.

    With a second set, the result contains each representation of the first with each of the second.

    Linear CKA of Kornblith, Norouzi, Lee and Hinton 2019; the "unbiased" estimator of HSIC is that
    of Song et al. 2012 as used for CKA by Nguyen, Raghu and Kornblith 2021.

    Parameters
    ----------
    representations
        M arrays of shape (n_examples, n_features_i), or a mapping from label to array (or its
        items). Each contains the same examples in the same order. Axes after the first are
        flattened. NumPy, torch, cupy or anything with DLPack; float16, bfloat16, float32, float64
        or integers; any strides. CUDA arrays are read in place, after the work that is already
        queued on their library's current stream. The buffer of a `StagedRepresentation` is
        overwritten. If float64 cannot represent the integers of a column, a constant is subtracted,
        which changes neither CKA nor HSIC; integers that do not fit even then are refused.

        Rows of pandas tables and xarray arrays are matched by label: the index, or the coordinate
        of the first dimension. Rows are reordered if the labels are the same in another order.
        Labels that differ or repeat are refused. Arrays without labels are matched by position. A
        default pandas index (0 to n-1) counts as labels only if another table has an integer index
        that is not the default; otherwise its rows are matched by position.
    others
        A second set of representations of the same examples, for example the layers of another
        network. Both sets may have the same labels. The pass computes the pairs within each set
        too (`CrossComparison.square` contains them), so that it takes as long as a pass over all
        representations together.
    labels
        The label of each representation: a string, a mapping or a NamedTuple. Default: the keys of
        a mapping, else "0", "1", ... For two sets, a pair: (labels of the first, of the second).
    pairs
        (P, 2) positions or names of the pairs to list in `Comparison.to_dataframe`; default: all
        a < b. The matrices always contain all pairs. Not with ``others``.
    estimator
        "unbiased" (n_examples >= 4), "biased" (>= 2) or "feature_corrected" (>= 4): the estimate in
        `Comparison.cka`. "feature_corrected" is the unbiased one without the similarity of a
        feature with itself in the self-similarities (Chun et al. 2025). It estimates what all
        features would give if those at hand are a sample: recorded neurons, some of the channels.
        Use it only for samples, and not where both sides have the same features. It depends on
        rotations, can exceed 1 or be below -1, and can be NaN (self-similarity not positive).
    device
        "cpu", "cuda" (the GPU that contains the arrays, otherwise the first), "cuda:1", "cuda:all"
        (here the same as "cuda"), a `torch.device`, or "auto": the GPU that contains the arrays;
        for arrays on the CPU, the device that is predicted to be faster.
    precision
        "high": float32 products (of large passes with AMX as sums of three bfloat16), or float64
        products for small problems and where float32 loses digits. Errors of CKA are below 1e-6 on
        a CPU; on an H100 they reached 7e-6. "fast": fp16 products on a GPU (errors up to 2e-4),
        bfloat16 products on a CPU where they are faster (AMX, AVX512_BF16: errors up to 5e-4,
        typically 1e-5); otherwise the same as "high". "float64": float64 products. TF32 is never
        used. `Comparison.provenance` has the products.
    threads
        Number of CPU threads. Default: OMP_NUM_THREADS, else the processors that this process may
        use. The result is bitwise identical for any number of threads.
    progress
        Called as ``progress(done, total)`` a few times a second, from the calling thread.
    inference
        True, or `Inference` with options: also compute `Comparison.p_value`, `q_value`,
        `calibrated`, `stderr`, `ci_low` and `ci_high`, on the CPU. With d features, that takes
        about n_examples d^3/6 multiply-adds, or n_examples^2 d/2 where this is less. `null_mean`,
        `null_sd`, `z` and, on the CPU, `feature_corrected` need no request.
    units
        For `Comparison.feature_corrected`. "independent": the features of different representations
        were sampled independently. "same": feature a is the same unit in all of them, for example
        in two checkpoints of one network; all must have the same number of features. This takes a
        further pass over the columns, on the CPU. With estimator "feature_corrected" there is then
        no chance level (`null_mean`, `null_sd` and `z` are None).
    memory
        Bytes ("2GB") to use beyond the arrays. With more needed, blocks of rows are read, in
        float64 on the CPU, without intervals. Default, of unread data: 75 % of what is free.
    measures
        Names of measures ("cka", "rbf_cka", "mutual_knn", "cknna", "cknna_reference", "procrustes",
        "svcca", "pwcca"), or `fastcka.Measure` with options; `Comparison.measure` returns them.
        CKA is always computed. All others take all examples in memory, on the CPU, in float64.

    Returns
    -------
    Comparison or, with ``others``, CrossComparison
        The row and column of a representation are NaN if it is constant or, for "unbiased", if its
        unbiased self-HSIC is zero (for example if its examples are all equidistant) or too small
        for the precision. `Comparison.undefined` gives the reason.

    Raises
    ------
    InputError
        There are fewer examples than the estimator needs; numbers of examples or row labels differ;
        values are NaN, infinite, masked or missing, or integers that float64 cannot represent even
        after a constant is subtracted; or another argument is invalid.
    DeviceError
        The device cannot be used, or its memory does not suffice. The message gives the reason.
    OutOfMemoryError
        More memory is needed than is free (``with fastcka.memory_check(False):`` disables this
        check), or an allocation failed. The buffers of staged representations may then already be
        overwritten.

    Examples
    --------
    >>> import numpy as np, fastcka
    >>> x = np.random.default_rng(0).standard_normal((100, 8))
    >>> result = fastcka.compare({"x": x, "2x": 2 * x}, estimator="biased")
    >>> round(float(result.cka[0, 1]), 6)
    1.0
    """
    options = Options.checked(
        estimator, device, precision, threads, progress, inference, units, measures
    )
    if others is None:
        group = Described.of_group(Group(representations, labels, pairs, memory))
        return _compared(group, options)
    if pairs is not None:
        raise InputError(
            "pairs: two sets are compared as a whole: leave pairs out, or pass one set"
        )
    group, n_rows = Described.of_two_sets(representations, others, labels, memory)
    return CrossComparison(_compared(group, options), n_rows)


def _compared(group: Described, options: Options) -> Comparison:
    refuse_lists_of_matrices(group.arrays, group.names)
    values = plain_values(group.arrays, options) if group.memory is None else None
    if values is None:
        return result_of(group, options).comparison()
    result = Result(group, options)
    result.put_values(values)
    return result.comparison()


def result_of(group: Group | Described, options: Options) -> Result:
    """The result of a group alone; errors as `compare`."""
    (outcome,) = finish([begin(group, options, alone=True)], options)
    if not isinstance(outcome, Result):
        raise outcome
    return outcome


def compare_many(
    groups: Iterable[AnyGroup | Flight],
    *,
    estimator: Estimator = "unbiased",
    device: Device = "auto",
    precision: Precision = "high",
    threads: int | None = None,
    progress: Progress | None = None,
    inference: bool | Inference = False,
    measures: Measures = DEFAULT_MEASURES,
) -> Iterator[list[Comparison | InputError | StoreError]]:
    """Yield the outcomes of many groups, in order; small groups are computed together, in flights.

    On the CPU, small groups are taken from ``groups`` until a flight is full. Then they are
    computed side by side, each by one thread. A flight has at most 256 groups, whose arrays take
    at most 32 MiB per thread (`fastcka.core.flight` has the numbers). Larger groups (over 16 MiB
    with all that the pass needs, or 3 Gflop) and groups with a `StagedRepresentation` are a flight
    alone, and all threads compute them. Such a group is taken when at most one flight of small
    groups is still waiting.

    On a GPU each group is a flight. A group is taken, copied to the GPU and centred there while the
    previous group is computed, so the GPU contains at most two groups. With "cuda:all", all GPUs of
    the machine share the groups, but no group is divided: two for each GPU are taken before the
    first outcome is yielded.

    Parameters
    ----------
    groups
        Each is a `Group` (representations with labels and pairs), or what `fastcka.compare` takes
        as representations. Do not write to the arrays of a group before its outcome is yielded; in
        particular, do not reuse them for the next group. (Arrays on a GPU may be written to by work
        on the stream that was current when the group was taken. Such a group is therefore not
        computed again in float64 if its products lose digits.)

        A `Flight` has groups of your choice, and may have staged representations. You are
        responsible for its memory. It is taken when the groups before it are computed (on a GPU,
        while the last of them is computed).
    estimator, device, precision, threads, inference, measures
        As in `fastcka.compare`; "auto" chooses a device for each group.
    progress
        As in `fastcka.compare`, for the group that is being computed. For groups that are computed
        together, the units are groups. On a GPU it is already called for the next group before the
        outcome of the last one; with "cuda:all" it is called after each group.

    Yields
    ------
    list
        The outcomes of one flight: for each group a `Comparison`, or the error that says why it
        cannot be compared or read. Such a group does not affect the others.

    Raises
    ------
    DeviceError, OutOfMemoryError
        As `fastcka.compare`, after the outcomes of all groups before. So are errors of ``groups``.
    """
    options = Options.checked(
        estimator, device, precision, threads, progress, inference, measures=measures
    )
    if options.device == EVERY_GPU and not options.needs_cpu:
        from fastcka.core.many_gpus import ManyGpus

        return ManyGpus(options).outcomes(groups)
    return GroupQueue(options).outcomes(groups)
