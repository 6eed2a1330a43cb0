"""Permutation tests of all pairs of representations, by shared permutations of the examples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastcka.arrays import aligned
from fastcka.core.arrays import StagedRepresentation
from fastcka.core.backend import Progress, resolve_threads
from fastcka.core.compare import compare
from fastcka.core.comparison import Comparison
from fastcka.core.estimators import Estimator
from fastcka.core.inference.exchange import GENERATOR, ExampleExchange, Exchange, Permutations
from fastcka.core.inference.layers import Aggregate, ModelPairs
from fastcka.core.inference.null_draws import null_matrices, tie_of
from fastcka.core.inference.options import Alternative, Inference
from fastcka.core.inference.permutation_result import PermutationTest, PermutedMatrices
from fastcka.core.inference.permuter import Permuter
from fastcka.core.members import members_of
from fastcka.core.options import check_progress
from fastcka.core.request import Described, Group, Request
from fastcka.core.views import ArrayView
from fastcka.errors import DeviceError, InputError

Matrix = NDArray[np.float64]


def permutation_test(
    representations: Group | Sequence[Any] | Mapping[Any, Any],
    others: None = None,
    *,
    n_permutations: int = 1000,
    seed: int = 0,
    blocks: ArrayLike | None = None,
    exchange: Exchange | None = None,
    aggregate: Aggregate | None = None,
    groups: str | Sequence[Any] | None = None,
    estimator: Estimator = "unbiased",
    alternative: Alternative = "greater",
    level: float = 0.95,
    labels: Sequence[Any] | None = None,
    pairs: ArrayLike | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> PermutationTest:
    """Test the CKA of every pair by permuting examples, with the same permutations for all pairs.

    The null hypothesis is that any example of one representation could belong to any example of the
    other. Each draw permutes the examples of the second representation of each pair and computes
    CKA again, exactly. `compare` with ``inference=True`` gives p-values without permuting. Permute
    if examples depend on each other (``blocks``), for the largest or mean similarity over layers
    (``aggregate``), and for data with heavy tails.

    Parameters
    ----------
    representations
        M >= 2 arrays of shape (n_examples, n_features_i) in the memory of the CPU, a mapping from
        label to array, or a `fastcka.core.Group`; as in `compare`. At most 65,536 examples.
        Staged representations are not overwritten.
    others
        Not used: there is no test of two sets. Another value than None is an error, which says how
        to call the function.
    n_permutations
        Number of permutations K. If the examples allow at most K + 1 distinct permutations, all of
        them are used once, and p-values are exact.
    seed
        Of ``numpy.random.Generator(numpy.random.PCG64(seed))``. A draw is one
        ``permutation(n_examples)``; within blocks, that permutation sorted by block; of whole
        blocks, one ``permutation(n_blocks)``.
    blocks
        (n_examples,) labels, text or numbers. Examples with equal labels are one block. Rows of
        pandas and xarray objects are matched by label, as those of the representations.
    exchange
        Needed with ``blocks``. "within": examples change places inside their block only. The test
        then ignores similarity that comes from differences between blocks, and the examples of a
        block must be exchangeable. "whole": blocks of equal size change places, and the order
        inside a block stays. Use it for examples that depend on their neighbours: tokens of one
        text, frames of one film.
    aggregate
        "max", "mean", or a function of an array (layers of a, layers of b) that returns a number:
        the similarity of two models. Its null distribution contains the aggregate of each draw, so
        it accounts for the choice of the largest of many similarities.
    groups
        Needed with ``aggregate``: the model of each representation, (M,), or the name of the label
        field that contains it.
    estimator
        "unbiased" or "biased", as in `compare`.
    alternative
        "greater": the p-value counts permutations with a value at least as large as the observed
        one. "two-sided": at least as far from the mean of all values.
    level
        The threshold is this quantile of the null distribution.
    labels, pairs, threads
        As in `compare`. The result is bitwise identical for any number of threads.
    progress
        As in `compare`, while the examples are permuted.

    Returns
    -------
    PermutationTest
        (M, M) matrices ``observed``, ``p_value``, ``threshold``, ``calibrated``, ``null_mean`` and
        ``null_sd``; ``null`` (K, P); ``smallest_p``; ``models`` with the same for pairs of models.

    Raises
    ------
    InputError
        As `compare`; or the blocks do not match the examples, or allow no permutation; or another
        argument is invalid.
    DeviceError
        An array is on a GPU.
    OutOfMemoryError
        The Gram matrices, at most ``4 (M + 3) n_examples**2`` bytes (twice that for float64
        products), and the null values do not fit into the free memory.

    Examples
    --------
    >>> import numpy as np, fastcka
    >>> x = np.random.default_rng(0).standard_normal((50, 8))
    >>> test = fastcka.permutation_test({"x": x, "2x": 2 * x}, n_permutations=99)
    >>> float(test.p_value[0, 1])
    0.01
    """
    if others is not None:
        raise InputError(
            "others: permutation_test takes all representations as one list or mapping: "
            "permutation_test([x, y]) for two arrays; pairs=... tests some of the pairs"
        )
    group = _host_group(representations, labels, pairs)
    group, blocks = _aligned_blocks(group, blocks)
    Inference(alternative=alternative, level=level)  # checks both
    check_progress(progress)
    _require_count("n_permutations", n_permutations, 1)
    _require_count("seed", seed, 0)
    if estimator == "feature_corrected":
        raise InputError(
            "estimator: expected 'unbiased' or 'biased'; got 'feature_corrected': use 'unbiased', "
            "which gives the same p-value for each pair"
        )
    observed = compare(
        group.representations,
        labels=group.labels,
        pairs=group.pairs,
        estimator=estimator,
        device="cpu",
        threads=threads,
    )
    if len(observed.labels) < 2:
        raise InputError("representations: expected two or more, got 1")
    exchanged = ExampleExchange(observed.n_examples, blocks, exchange)
    models = None if aggregate is None else ModelPairs(observed.labels, groups, aggregate)
    if aggregate is None and groups is not None:
        raise InputError("groups is for aggregate='max', 'mean' or a function; aggregate is None")
    exact = exchanged.n_distinct <= n_permutations + 1
    count = exchanged.n_distinct - 1 if exact else n_permutations
    permuter, order = _permuter(group, observed, models, count, resolve_threads(threads)[0])
    n_batches = -(-(count + 1) // permuter.batch)
    values, aggregated = _values(
        permuter,
        order,
        observed,
        models,
        exchanged.batches(permuter.batch, None if exact else count, seed),
        count,
        _over_batches(progress, n_batches),
    )
    options: dict[str, Any] = {
        "alternative": alternative,
        "level": level,
        "tie": tie_of(observed.provenance["products"]),
    }
    m = len(observed.labels)
    all_pairs = np.stack(np.triu_indices(m, 1), axis=1)
    tested_models = None
    if models is not None and aggregated is not None:
        tested_models = PermutedMatrices(
            labels=tuple({"model": name} for name in models.names),
            pairs=models.pairs,
            null=aggregated[1:],
            **null_matrices(len(models.names), models.pairs, aggregated, **options),
        )
    return PermutationTest(
        labels=observed.labels,
        pairs=observed.pairs,
        null=values[1:, _columns(m, *observed.pairs.T)],
        **null_matrices(m, all_pairs, values, **options),
        estimator=estimator,
        n_examples=observed.n_examples,
        alternative=alternative,
        level=level,
        seed=seed,
        n_permutations=count,
        n_distinct=exchanged.n_distinct,
        exact=exact,
        smallest_p=1 / (count + 1),
        exchange=exchange,
        n_blocks=exchanged.n_blocks,
        models=tested_models,
        undefined=observed.undefined,
        provenance={**observed.provenance, "permutations": GENERATOR},
    )


def _host_group(representations: Any, labels: Any, pairs: Any) -> Group:
    if isinstance(representations, Group):
        if labels is not None or pairs is not None:
            raise InputError("labels and pairs: a Group contains its own; pass them there")
        group = representations
        representations, labels, pairs = group.representations, group.labels, group.pairs
    names, arrays = members_of(representations, "representations")
    arrays = [x.array if isinstance(x, StagedRepresentation) else x for x in arrays]
    return Group(arrays, names if labels is None else labels, pairs)


def _aligned_blocks(group: Group, blocks: Any) -> tuple[Group, Any]:
    """Return both with their rows in one order, by their labels."""
    if blocks is None:
        return group, None
    names = [*Described.of_group(group).names, "blocks"]
    *arrays, blocks = aligned([*group.representations, blocks], names)
    return Group(arrays, group.labels, group.pairs), blocks


def _require_count(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{name}: expected an integer of at least {least}, got {value!r}")


def _columns(m: int, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the places of pairs a < b in the order of ``numpy.triu_indices(m, 1)``."""
    columns: NDArray[np.int64] = a * (2 * m - a - 1) // 2 + b - a - 1
    return columns


def _over_batches(progress: Progress | None, n_batches: int) -> list[Progress | None]:
    """Return the progress of each batch as a part of all."""

    def of_batch(index: int) -> Progress | None:
        if progress is None:
            return None
        return lambda done, total: progress(index * total + done, n_batches * total)

    return [of_batch(index) for index in range(n_batches)]


def _permuter(
    group: Group, observed: Comparison, models: ModelPairs | None, count: int, threads: int
) -> tuple[Permuter, NDArray[np.intp]]:
    """Return the permuter of the representations in an order, and that order."""
    request = Request.of_group(group, observed.estimator)
    views = [view for view in request.views if isinstance(view, ArrayView)]
    for view, name in zip(request.views, request.names, strict=True):
        if not isinstance(view, ArrayView):
            raise DeviceError(f"{name} is on a GPU: copy it to the CPU to permute its examples")
    m = len(views)
    # The layers of one model precede those of the next: a draw permutes all layers of the second
    # model of a pair against all of the first.
    order = np.arange(m) if models is None else np.argsort(models.model_of, kind="stable")
    kept_bytes = 3 * 8 * (count + 1) * m * (m - 1) // 2
    products = observed.provenance["products"]
    permuter = Permuter(
        [views[i] for i in order], observed.estimator, products, threads, kept_bytes
    )
    return permuter, order


def _values(
    permuter: Permuter,
    order: NDArray[np.intp],
    observed: Comparison,
    models: ModelPairs | None,
    batches: Iterable[Permutations],
    count: int,
    progresses: list[Progress | None],
) -> tuple[Matrix, Matrix | None]:
    """Return CKA (K + 1, pairs) and the aggregates (K + 1, pairs of models), the observed first."""
    m = len(order)
    a, b = np.triu_indices(m, 1)
    column = _columns(m, *np.sort([order[a], order[b]], axis=0))
    values = np.empty((count + 1, len(a)))
    aggregated = None if models is None else np.empty((count + 1, len(models.pairs)))
    undefined = np.isin(np.arange(m), list(observed.undefined))
    begin = 0
    for permutations, progress in zip(batches, progresses, strict=True):
        drawn = np.empty((len(permutations), len(a)))
        drawn[:, column] = permuter.similarities(permutations, progress)
        drawn[:, undefined[a] | undefined[b]] = np.nan
        values[begin : begin + len(drawn)] = drawn
        if models is not None and aggregated is not None:
            matrices = np.full((len(drawn), m, m), np.nan)
            matrices[:, a, b] = matrices[:, b, a] = drawn
            aggregated[begin : begin + len(drawn)] = models.aggregated(matrices)
        begin += len(drawn)
    return values, aggregated
