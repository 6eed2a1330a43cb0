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
    """The results of the pass for a group, in the order of its representations.

    Attributes
    ----------
    cka_biased, cka_unbiased, hsic_biased, hsic_unbiased
        (M, M) float64, symmetric. CKA is stored too, not derived from HSIC: for data of size
        1e-100, HSIC is 0 in float64 and CKA is not.
    provenance
        Device, route, threads, seconds, versions.
    """

    cka_biased: NDArray[np.float64]
    cka_unbiased: NDArray[np.float64]
    hsic_biased: NDArray[np.float64]
    hsic_unbiased: NDArray[np.float64]
    provenance: dict[str, Any]


def group_identity(group: GroupPlan, precision: str) -> str:
    """Return a digest of everything that the values of ``group`` depend on.

    The values do not depend on the estimator (both are stored), the pairs (all are stored), the
    labels or any path, so a sweep with another question about the same data computes nothing. Of
    the filter, only the examples that it keeps count. If rows are gathered, all ids of the file
    count: with other ids, the same examples select other rows.
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
