"""The values of a group, and the digests that identify them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcka.digests import bytes_digest, json_digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fastcka.sweep.planning.group import GroupPlan


VALUES_VERSION = 2


@dataclass(frozen=True, slots=True, eq=False)
class GroupValues:
    """What the pass gave for a group, in the order of its representations.

    Attributes
    ----------
    cka_biased, cka_unbiased, hsic_biased, hsic_unbiased
        (M, M) float64, symmetric. CKA is kept beside HSIC, not derived from it: the HSIC of data
        of the size of 1e-100 is 0 in float64, its CKA is not.
    provenance
        Device, route, threads, seconds, versions: what ran.
    """

    cka_biased: NDArray[np.float64]
    cka_unbiased: NDArray[np.float64]
    hsic_biased: NDArray[np.float64]
    hsic_unbiased: NDArray[np.float64]
    provenance: dict[str, Any]


def group_identity(group: GroupPlan, precision: str) -> str:
    """Return a digest of everything that the values of ``group`` depend on.

    Neither the estimator (both are kept), nor the pairs (all are kept), nor the labels, nor any
    path: a sweep that asks another question of the same data computes nothing. Of the filter only
    what it keeps. Where rows are gathered, all ids of the file count: other ids beside the same
    data are other rows under the same examples.
    """
    return json_digest(
        [
            VALUES_VERSION,
            precision,
            group.n_examples,
            group.examples.digest,
            [
                [
                    *(*r.key, r.n_features, r.dtype, r.digest),
                    *([] if rows is None else [r.examples_digest]),
                ]
                for r, rows in zip(group.representations, group.examples.rows, strict=True)
            ],
        ]
    )


def digest_of_keys(group: GroupPlan, precision: str) -> str:
    """Return a digest of the keys of a group and the precision."""
    return json_digest([precision, [list(r.key) for r in group.representations]])


def values_checksum(
    identity: str,
    n_examples: int,
    precision: str,
    provenance: dict[str, Any],
    rows: Sequence[tuple[Any, ...]],
    cells: NDArray[np.float64],
) -> str:
    """Return a checksum of everything that a ledger stores of a group."""
    # NaN has many bit patterns and comes back from NULL as one of them.
    bits = np.where(np.isnan(cells), np.nan, cells).astype("<f8").tobytes()
    description = json_digest([identity, n_examples, precision, provenance, rows])
    return bytes_digest(description.encode() + bits)
