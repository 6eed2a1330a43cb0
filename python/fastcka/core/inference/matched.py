"""The feature correction between representations whose features are the same units.

If feature a of both representations is one unit (two checkpoints of a network, two sessions with
the same neurons), the numerator also contains the similarity of each unit with itself. It becomes

    p/(p-1) (HSIC_1(K, L) - sum_a HSIC_1(k_a, l_a))
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcka.core.backend import FAR_FROM
from fastcka.core.column_terms import sums_before
from fastcka.core.estimators import MIN_EXAMPLES
from fastcka.core.inference.products import products_of_centred
from fastcka.core.sums import Matrix, Sums, Vector
from fastcka.core.views import View
from fastcka.errors import InputError

#: Bytes of the columns of all representations that are in memory at a time.
BLOCK_BYTES = 32 << 20


def matched_terms(
    views: Sequence[View], names: Sequence[str], exponent: NDArray[np.int32]
) -> Matrix | None:
    """Return n(n-3) sum_a HSIC_1(k_a, l_a), (M, M), of the data times 2**-exponent.

    None for fewer examples than the correction needs.

    Raises
    ------
    InputError
        If the numbers of features differ.
    """
    n, p = views[0].n_examples, views[0].n_features
    for view, name in zip(views, names, strict=True):
        if view.n_features != p:
            raise InputError(
                f"units='same': {name} has {view.n_features} features and {names[0]} has {p}; "
                "feature a must be the same unit in all representations"
            )
    if n < MIN_EXAMPLES["feature_corrected"]:
        return None
    arrays = [_rows(view) for view in views]
    scale = np.ldexp(1.0, -exponent.astype(np.int64))[:, None, None]
    width = max(1, BLOCK_BYTES // (8 * n * len(arrays)))
    blocks = [slice(start, start + width) for start in range(0, p, width)]
    total = np.zeros((len(arrays), len(arrays)))
    far = _far(arrays, blocks)
    for block in blocks:
        x = np.stack([_columns(array, block) for array in arrays]) * scale
        x -= np.median(x, axis=1, keepdims=True)
        total += _terms(x.transpose(2, 0, 1), far)
    return total


def corrected_numerators(sums: Sums, terms: Matrix, unbiased: Matrix, ratios: Vector) -> Matrix:
    """Return the corrected CKA, (M, M), with matched units."""
    whole = products_of_centred(sums)
    undefined = np.isnan(unbiased.diagonal()) | np.isnan(ratios)
    # The factors p/(p-1) cancel.
    kept = np.where(undefined, np.nan, whole.diagonal() - terms.diagonal())
    result: Matrix = (whole - terms) / np.sqrt(np.outer(kept, kept))
    return result


def _rows(view: View) -> Any:
    owner: Any = view.owner
    return owner.reshape(view.n_examples, view.n_features)


def _columns(array: Any, block: slice) -> NDArray[np.float64]:
    part = array[:, block]
    return np.asarray(part if isinstance(part, np.ndarray) else part.double().numpy(), np.float64)


def _far(arrays: Sequence[Any], blocks: Sequence[slice]) -> NDArray[np.bool_]:
    """Return which examples are far from the others in a representation, (n_examples,)."""
    far = np.zeros(arrays[0].shape[0], bool)
    for array in arrays:
        distances = np.zeros(len(far))
        for block in blocks:
            x = _columns(array, block)
            with np.errstate(over="ignore"):
                distances += ((x - np.median(x, axis=0)) ** 2).sum(axis=1)
        far |= distances > FAR_FROM * np.median(distances)
    return far


def _terms(x: NDArray[np.float64], far: NDArray[np.bool_]) -> Matrix:
    """Sum over columns; x is (columns, M, n_examples).

    Far examples enter one by one: the difference of sums with their fourth powers would leave
    nothing of the rest.
    """
    n = x.shape[2]

    def products(y: NDArray[np.float64]) -> NDArray[np.float64]:
        result: NDArray[np.float64] = y @ y.transpose(0, 2, 1)
        return result

    near, others = x[:, :, ~far], x[:, :, far]
    sums = products(near)
    pairs = sums**2 - products(near**2)
    for example in range(others.shape[2]):
        values = others[:, :, example]
        product = values[:, :, None] * values[:, None, :]
        pairs += 2 * product * sums
        sums += product
    rest = x.sum(axis=2, keepdims=True) - x  # the sum of all other examples
    before, after = (sums_before(y, axis=2) for y in (others, others[:, :, ::-1]))
    rest[:, :, far] = near.sum(axis=2, keepdims=True) + before + after[:, :, ::-1]
    rows = x * rest
    wholes = rows.sum(axis=2, keepdims=True)
    terms = pairs - 2 / (n - 2) * products(rows) + products(wholes) / ((n - 1) * (n - 2))
    total: Matrix = terms.sum(axis=0)
    return total
