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
    """The similarities of a group, in the order of its representations.

    Attributes
    ----------
    cka_biased, cka_unbiased, hsic_biased, hsic_unbiased
        (M, M) float64, symmetric. CKA is stored too, because it cannot always be derived from HSIC:
        for data of magnitude 1e-100, the HSIC underflows to 0, and the CKA does not.
    provenance
        Device, route, threads, seconds and versions of the computation.
    """

    cka_biased: NDArray[np.float64]
    cka_unbiased: NDArray[np.float64]
    hsic_biased: NDArray[np.float64]
    hsic_unbiased: NDArray[np.float64]
    provenance: dict[str, Any]


def group_identity(group: GroupPlan, precision: str) -> str:
    """Return a digest of everything that the values of ``group`` depend on.

    It does not depend on the estimator, the pairs, the labels or a path: the ledger has both
    estimators and all pairs, so another sweep over the same data computes nothing again. A filter
    counts only through the examples that it keeps. If a representation's rows are gathered, the ids
    of all its rows count, because with other ids the same examples are other rows.
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
    """Return a checksum of everything that a ledger stores about a group."""
    # NaN has many bit patterns; a NULL is read as one of them.
    bits = np.where(np.isnan(cells), np.nan, cells).astype("<f8").tobytes()
    description = json_digest([identity, n_examples, precision, provenance, rows])
    return bytes_digest(description.encode() + bits)
