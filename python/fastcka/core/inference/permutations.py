"""Permutation tests of all pairs of representations, by shared permutations of the examples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastcka.core.arrays import StagedRepresentation
from fastcka.core.backend import Permuter, Progress, resolve_threads
from fastcka.core.compare import compare
from fastcka.core.comparison import Comparison
from fastcka.core.estimators import Estimator
from fastcka.core.inference.exchange import ExampleExchange, Exchange, Permutations
from fastcka.core.inference.layers import Aggregate, ModelPairs
from fastcka.core.inference.null_draws import TIES, NullDraws
from fastcka.core.inference.options import Alternative, Inference
from fastcka.core.inference.permutation_result import PermutationTest, PermutedMatrices
from fastcka.core.request import Group, Request
from fastcka.core.views import ArrayView
from fastcka.errors import DeviceError, InputError
from fastcka.memory import require_memory
from fastcka.out_of_memory import named_shortage

Matrix = NDArray[np.float64]

#: Permutations of one call of the compiled code: enough that rows are reused in the caches.
TOGETHER = 1024
#: Bytes of their similarities, of one thread.
MOST_BYTES = 16 << 20

GENERATOR = "numpy.random.Generator(PCG64(seed)), one permutation of all examples for each draw"
REMEDY = "test fewer representations at once, or fewer examples"


def permutation_test(
    representations: Group | Sequence[Any] | Mapping[Any, Any],
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

    The null hypothesis: which example of one representation belongs to which of the other makes no
    difference. Each draw permutes the examples of the second representation of each pair, and
    computes CKA again, exactly. `compare` gives the null mean and standard deviation without
    permuting; permute for examples that depend on each other (``blocks``) and for the largest or
    mean similarity over layers (``aggregate``).

    Parameters
    ----------
    representations
        M >= 2 arrays of shape (n_examples, n_features_i) in the memory of the CPU, a mapping from
        label to array, or a `fastcka.core.Group`; as in `compare`. At most 65,536 examples.
        Staged representations are read and not overwritten.
    n_permutations
        Number of permutations K. If the blocks allow at most K + 1 distinct permutations, all of
        them are used, and p-values are exact.
    seed
        Of ``numpy.random.Generator(numpy.random.PCG64(seed))``. A draw is one
        ``permutation(n_examples)``; within blocks, that permutation sorted by block; of whole
        blocks, one ``permutation(n_blocks)``.
    blocks
        (n_examples,) labels, text or integers: examples with equal labels are one block.
    exchange
        Needed with ``blocks``. "within": examples change places inside their block only. The test
        then ignores similarity that comes from differences between blocks, and examples of one
        block must be exchangeable. "whole": blocks of equal size change places, and the order
        inside a block stays. This is for examples that depend on their neighbours: tokens of one
        text, frames of one film.
    aggregate
        "max", "mean", or a function of an array (layers of a, layers of b) that returns a number:
        the similarity of two models. Its null distribution takes the aggregate of each draw, so it
        accounts for the choice of the largest of many.
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
    labels, pairs, threads, progress
        As in `compare`. The units of progress are those of one batch of at most 1024 permutations
        after the other. The result is bitwise identical for any number of threads.

    Returns
    -------
    PermutationTest
        (M, M) matrices ``observed``, ``p_value``, ``threshold``, ``calibrated``, ``null_mean`` and
        ``null_sd``; ``null`` (K, P); ``models`` with the same for pairs of models.

    Raises
    ------
    InputError
        As `compare`; or the blocks do not match the examples, or allow no permutation.
    DeviceError
        An array is on a GPU.
    OutOfMemoryError
        The Gram matrices, ``4 (M + 1) n_examples**2`` bytes (twice that for float64 products), and
        the null values do not fit into the free memory.

    Examples
    --------
    >>> import numpy as np, fastcka
    >>> x = np.random.default_rng(0).standard_normal((50, 8))
    >>> test = fastcka.permutation_test({"x": x, "2x": 2 * x}, n_permutations=99)
    >>> float(test.p_value[0, 1])
    0.01
    """
    group = _host_group(representations, labels, pairs)
    Inference(alternative=alternative, level=level)  # checks both
    _require_count("n_permutations", n_permutations, 1)
    _require_count("seed", seed, 0)
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
    values, aggregated = _values(
        group, observed, models, _batches(exchanged, count, seed, exact, observed), count,
        resolve_threads(threads)[0], progress,
    )  # fmt: skip
    options: dict[str, Any] = {
        "alternative": alternative,
        "level": level,
        "tie": TIES[observed.provenance["products"]],
    }
    m = len(observed.labels)
    wanted = observed.pairs
    all_pairs = np.stack(np.triu_indices(m, 1), axis=1)
    kept = [int(a * (2 * m - a - 1) // 2 + b - a - 1) for a, b in wanted]
    matrices = _matrices(m, all_pairs, values, options)
    tested_models = None
    if models is not None and aggregated is not None:
        tested_models = PermutedMatrices(
            labels=tuple({"model": name} for name in models.names),
            pairs=models.pairs,
            null=aggregated[1:],
            **_matrices(len(models.names), models.pairs, aggregated, options),
        )
    return PermutationTest(
        labels=observed.labels,
        pairs=wanted,
        null=values[1:, kept],
        **matrices,
        estimator=estimator,
        n_examples=observed.n_examples,
        alternative=alternative,
        level=level,
        seed=seed,
        n_permutations=count,
        n_distinct=exchanged.n_distinct,
        exact=exact,
        smallest_p=1 / min(count + 1, exchanged.n_distinct),
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
        representations, labels, pairs = (
            representations.representations,
            representations.labels,
            representations.pairs,
        )
    if isinstance(representations, Mapping):
        labels = list(representations) if labels is None else labels
        representations = list(representations.values())
    arrays = [x.array if isinstance(x, StagedRepresentation) else x for x in representations]
    return Group(arrays, labels, pairs)


def _require_count(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{name}: expected an integer of at least {least}, got {value!r}")


def _batches(
    exchanged: ExampleExchange, count: int, seed: int, exact: bool, observed: Comparison
) -> Iterator[Permutations]:
    """Yield the permutations, the identity first."""
    n_pairs = len(observed.labels) * (len(observed.labels) - 1) // 2
    size = max(min(TOGETHER, MOST_BYTES // (8 * n_pairs)), 16)
    if exact:
        every = exchanged.all()
        while batch := list(islice(every, size)):
            yield np.stack(batch)
        return
    rng = np.random.Generator(np.random.PCG64(seed))
    identity = np.arange(observed.n_examples, dtype=np.int32)[None]
    yield np.concatenate([identity, exchanged.draws(min(count, size - 1), rng)])
    for begin in range(size - 1, count, size):
        yield exchanged.draws(min(count - begin, size), rng)


def _values(
    group: Group,
    observed: Comparison,
    models: ModelPairs | None,
    batches: Iterator[Permutations],
    count: int,
    threads: int,
    progress: Progress | None,
) -> tuple[Matrix, Matrix | None]:
    """Return CKA (K + 1, pairs) and the aggregates (K + 1, pairs of models), the observed first."""
    request = Request.of_group(group, observed.estimator)
    for view, name in zip(request.views, request.names, strict=True):
        if not isinstance(view, ArrayView):
            raise DeviceError(f"{name} is on a GPU: copy it to the CPU to permute its examples")
    m = len(request.views)
    # The layers of one model come before those of the next: a draw permutes all layers of the
    # second model of a pair against all of the first.
    order = np.arange(m) if models is None else np.argsort(models.model_of, kind="stable")
    a, b = np.triu_indices(m, 1)
    first, second = np.sort([order[a], order[b]], axis=0)
    column = first * (2 * m - first - 1) // 2 + second - first - 1
    products = observed.provenance["products"]
    what = f"permuting {m:,} representations of {observed.n_examples:,} examples"
    needed = Permuter.bytes_needed(observed.n_examples, request.views, products, threads, TOGETHER)
    require_memory(needed + 3 * 8 * (count + 1) * len(a), what, REMEDY)
    values = np.empty((count + 1, len(a)))
    aggregated = None if models is None else np.empty((count + 1, len(models.pairs)))
    with named_shortage(what, REMEDY):
        permuter = Permuter(
            [request.views[i] for i in order], observed.estimator, products, threads
        )
        begin = 0
        for permutations in batches:
            drawn = np.empty((len(permutations), len(a)))
            drawn[:, column] = permuter.similarities(permutations, progress)
            values[begin : begin + len(drawn)] = drawn
            if models is not None and aggregated is not None:
                matrices = np.full((len(drawn), m, m), np.nan)
                matrices[:, a, b] = matrices[:, b, a] = drawn
                aggregated[begin : begin + len(drawn)] = models.aggregated(matrices)
            begin += len(drawn)
    undefined = np.isin(a, list(observed.undefined)) | np.isin(b, list(observed.undefined))
    values[:, undefined] = np.nan
    return values, aggregated


def _matrices(
    size: int, pairs: NDArray[np.int64], values: Matrix, options: dict[str, Any]
) -> dict[str, Matrix]:
    draws = NullDraws.of(values[0], values[1:], **options)
    a, b = pairs.T
    columns = {
        "observed": values[0],
        "p_value": draws.p_value,
        "threshold": draws.threshold,
        "calibrated": draws.calibrated,
        "null_mean": draws.mean,
        "null_sd": draws.sd,
    }
    matrices = {name: np.full((size, size), np.nan) for name in columns}
    for name, column in columns.items():
        matrices[name][a, b] = matrices[name][b, a] = column
    return matrices
