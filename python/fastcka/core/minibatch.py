"""Minibatch CKA, for reproducing published values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fastcka.core.compare import compare
from fastcka.core.comparison import Comparison
from fastcka.core.estimators import CONDITION_LIMIT, MIN_EXAMPLES
from fastcka.errors import InputError

#: Smaller self-HSIC has lost digits, and sums of larger ones (above 1/this) could overflow.
_SMALLEST = float(np.finfo(np.float64).tiny / np.finfo(np.float64).eps)

Weights = Literal["pairs", "examples", "equal"]

_WEIGHT_OF: dict[str, Callable[[int], float]] = {
    "pairs": lambda n: n * (n - 3),
    "examples": float,
    "equal": lambda _: 1.0,
}


def minibatch_cka(
    batches: Iterable[Sequence[Any] | Mapping[Any, Any]], *, weights: Weights = "pairs"
) -> NDArray[np.float64]:
    """Minibatch CKA of all pairs (Nguyen, Raghu and Kornblith 2021).

    With the unbiased HSIC_1 of each batch b and weights w_b::

        CKA_ij = sum_b w_b HSIC_b(i, j) / sqrt(sum_b w_b HSIC_b(i, i) sum_b w_b HSIC_b(j, j))

    This reproduces values of papers. It differs from CKA of all examples by sampling error, and its
    ratio is biased for few batches. `Accumulator` gives the CKA of all examples exactly, from the
    same batches.

    Parameters
    ----------
    batches
        Each contains M arrays of shape (n_b, n_features_i), n_b >= 4, or is a mapping with these as
        values. All have the same representations in the same order.
    weights
        "pairs": n_b (n_b - 3). The published TensorFlow code has these weights; they have the
        least variance for representations without relation. "examples": n_b. "equal": 1 for each
        batch, as in the paper, and in PyTorch packages. For batches of one size all three agree.

    Returns
    -------
    ndarray
        (M, M) float64. NaN where the sum of a self-HSIC is zero within rounding.

    Raises
    ------
    InputError
        For a batch of fewer than 4 examples, no batch, numbers of representations or labels that
        differ between batches, values whose fourth power float64 cannot hold, or as
        `compare`.
    DeviceError, OutOfMemoryError
        As `compare`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcka.core import minibatch_cka
    >>> x, y = np.random.default_rng(0).standard_normal((2, 64, 8))
    >>> batches = [(x[:32], y[:32]), (x[32:], y[32:])]
    >>> minibatch_cka(batches).shape
    (2, 2)
    """
    if weights not in get_args(Weights):
        raise InputError(f"weights must be one of {', '.join(get_args(Weights))}, got {weights!r}")
    total: NDArray[np.float64] | None = None
    sums = np.zeros(0)  # the positive part of each self-HSIC
    first: list[dict[str, Any]] = []
    for number, batch in enumerate(batches):
        result = compare(batch, estimator="biased")
        labels = list(result.labels)
        if result.n_examples < MIN_EXAMPLES["unbiased"]:
            raise InputError(
                f"batch {number} has {result.n_examples} examples, but HSIC_1 needs at least 4: "
                "leave out the last, incomplete batch, or use larger batches"
            )
        if total is None:
            total, first = np.zeros_like(result.hsic_unbiased), labels
            sums = np.zeros(len(labels))
        if labels != first:
            raise InputError(
                f"batch {number} contains other representations than batch 0: all batches must "
                "have the same representations in the same order"
            )
        _require_representable(result, number)
        n = result.n_examples
        total += _WEIGHT_OF[weights](n) * result.hsic_unbiased
        share = (n - 1) ** 2 / (n * (n - 3))
        sums += _WEIGHT_OF[weights](n) * share * result.hsic_biased.diagonal()
    if total is None:
        raise InputError("batches is empty: at least one batch is needed")
    selves = total.diagonal()
    defined = selves * CONDITION_LIMIT["float64"] > sums
    scale = np.sqrt(np.where(defined, selves, np.nan))
    return np.asarray(np.clip(total / np.outer(scale, scale), -1, 1))


def _require_representable(result: Comparison, number: int) -> None:
    """Refuse HSIC outside the range in which float64 keeps its digits."""
    selves = result.hsic_biased.diagonal()
    for i, value in enumerate(selves.tolist()):
        if i not in result.undefined and not _SMALLEST <= value <= 1 / _SMALLEST:
            raise InputError(
                f"batch {number}, representation {i} ({result.names[i]}): expected values whose "
                f"fourth powers float64 can represent; got a self-HSIC of {value:.3g}: multiply "
                "the representation by a constant in all batches, which does not change CKA"
            )
