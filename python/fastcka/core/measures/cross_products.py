"""Procrustes, SVCCA and PWCCA, from the cross products X_i' X_j of centred representations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from fastcka.core.measures.members import Values
from fastcka.core.sums import Matrix, Vector
from fastcka.errors import InputError

if TYPE_CHECKING:
    from fastcka.core.measures.measure import Measure
    from fastcka.core.measures.members import Basis, Member

BATCH_BYTES = 32 << 20
"""Bytes of the cross products that are decomposed by one call."""


def procrustes(members: Sequence[Member], _: Measure) -> Values:
    """Return the cosine of the scale-free Procrustes angle, |X'Y|_* / (|X|_F |Y|_F).

    |.|_* is the nuclear norm, the sum of the singular values. This is the normalised Bures
    similarity of the covariances over examples (Harvey et al. 2024).
    """
    factors = [_unit_factor(member) for member in members]
    matrix = np.eye(len(members))
    for i, others, products in _cross_products(factors):
        sums = np.linalg.svd(products, compute_uv=False).sum(axis=1)
        matrix[i, others] = matrix[others, i] = np.minimum(sums, 1)
    return Values(matrix)


def svcca(members: Sequence[Member], measure: Measure) -> Values:
    """Return the mean canonical correlation of leading principal components (Raghu et al. 2017)."""
    bases = []
    for member in members:
        u, s, _ = member.basis()
        shares = np.cumsum(s**2) / (s @ s)
        count = int(np.searchsorted(shares, measure.options["variance"])) + 1
        bases.append(u[:, : min(count, len(s))].copy())
    counts = [basis.shape[1] for basis in bases]
    _refuse_wide(members, counts, measure, "principal components that it keeps")
    matrix = np.eye(len(members))
    for i, others, products in _cross_products(bases):
        means = np.linalg.svd(products, compute_uv=False).mean(axis=1)
        matrix[i, others] = matrix[others, i] = np.minimum(means, 1)
    return Values(matrix, {"components": counts})


def pwcca(members: Sequence[Member], measure: Measure) -> Values:
    """Return the mean canonical correlation, weighted by projections (Morcos et al. 2018).

    Entry (i, j) weights the correlations rho_c with what the features x of representation i have in
    common with its canonical variates h_c: sum_c w_c rho_c / sum_c w_c, w_c = sum_x |<h_c, x>|.
    """
    bases = [member.basis() for member in members]
    ranks = [len(basis.s) for basis in bases]
    _refuse_wide(members, ranks, measure, "dimensions that its features span")
    matrix = np.eye(len(members))
    for i, others, products in _cross_products([basis.u for basis in bases]):
        left, correlations, right = np.linalg.svd(products, full_matrices=False)
        for j, p, rho, qt in zip(others, left, correlations, right, strict=True):
            matrix[i, j] = _weighted(rho, p.T, bases[i])
            matrix[j, i] = _weighted(rho, qt, bases[j])
    return Values(matrix, {"rank": ranks})


def _weighted(correlations: Vector, directions: Matrix, basis: Basis) -> float:
    """Return the mean weighted by projections; ``directions`` (c, r) give the variates."""
    weights = np.abs((directions * basis.s) @ basis.vt).sum(axis=1)
    return min(float(weights @ correlations / weights.sum()), 1.0)


def _unit_factor(member: Member) -> Matrix:
    """Return (n, min(n, d)) values with the centred Gram matrix of the member, of norm 1."""
    values = member.centered()
    if values.shape[1] > len(values):  # X = R'Q', and the orthogonal Q changes no singular value
        values = np.asarray(np.linalg.qr(values.T, mode="r")).T
    return np.asarray(values / np.linalg.norm(values))


def _cross_products(factors: Sequence[Matrix]) -> Iterator[tuple[int, list[int], Matrix]]:
    """Yield i, some positions j > i with factors of equal width, and the X_i' X_j as a stack."""
    for i, factor in enumerate(factors):
        later = range(i + 1, len(factors))
        for width, group in groupby(later, key=lambda j: factors[j].shape[1]):
            others = list(group)
            at_once = max(1, BATCH_BYTES // (8 * factor.shape[1] * width))
            for start in range(0, len(others), at_once):
                batch = others[start : start + at_once]
                yield i, batch, np.stack([factor.T @ factors[j] for j in batch])


def _refuse_wide(
    members: Sequence[Member], widths: Sequence[int], measure: Measure, what: str
) -> None:
    """Refuse subspaces so wide that unrelated representations are alike too."""
    if measure.options["allow_wide"]:
        return
    for member, width in zip(members, widths, strict=True):
        n = member.shape[0]
        if width > n / 2:
            raise InputError(
                f"measures: {measure.name} of {member.name} would compare {width:,} {what}, for "
                f"{n:,} examples. With more than half as many dimensions as examples, canonical "
                "correlations are near 1 for unrelated data too: take more examples, leave the "
                f"measure out, or ask for it by fastcka.Measure({measure.name!r}, allow_wide=True)"
            )
