"""The values of a group, and the digests that identify them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcka.digests import bytes_digest, json_digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fastcka.core.measures.table import MeasureName
    from fastcka.sweep.planning.group import GroupPlan
    from fastcka.sweep.question.computation import Computation


VALUES_VERSION = 4
"""Part of every group's identity. Raise it if a change of the pass changes the values."""


@dataclass(frozen=True, slots=True, eq=False)
class GroupValues:
    """The similarities of a group, in the order of its representations.

    Attributes
    ----------
    matrices
        Attribute of `Comparison` -> (M, M) float64, symmetric; those of `core.columns.STORED` that
        were computed. CKA is stored too, because it cannot always be derived from HSIC: for data of
        magnitude 1e-100, the HSIC underflows to 0, and the CKA does not.
    moments
        Name -> (M,) float64: the numbers of `core.inference.moments.Moments`.
    provenance
        Device, route, threads, seconds and versions of the computation.
    measures
        Name -> (M, M) float64, the measures besides CKA; they need not be symmetric.
    """

    matrices: dict[str, NDArray[np.float64]]
    moments: dict[str, NDArray[np.float64]]
    provenance: dict[str, Any]
    measures: dict[MeasureName, NDArray[np.float64]] = field(default_factory=dict)


def group_identity(group: GroupPlan, computation: Computation) -> str:
    """Return a digest of everything that the values of ``group`` depend on.

    It depends on the measures and their options. It does not depend on the estimator, the level or
    side of inference, the pairs, the labels or a path: the ledger has all estimates of all pairs,
    so another sweep over the same data computes nothing again. A filter counts only through the
    examples that it keeps. If a representation's rows are gathered, the ids of all its rows count,
    because with other ids the same examples are other rows.
    """
    return json_digest(
        [
            VALUES_VERSION,
            computation.precision,
            computation.inferred,
            computation.measures,
            group.n_examples,
            group.examples.digest,
            group.blocks_digest,
            [
                [
                    *(*r.key, r.n_features, r.dtype, r.digest),
                    *([] if rows is None else [r.examples_digest]),
                ]
                for r, rows in zip(group.representations, group.examples.rows, strict=True)
            ],
        ]
    )


def digest_of_keys(group: GroupPlan, computation: Computation) -> str:
    """Return a digest of the keys of a group and how it is computed."""
    return json_digest([*computation, [list(r.key) for r in group.representations]])


def values_checksum(
    identity: str,
    n_examples: int,
    precision: str,
    contents: Sequence[str],
    provenance: dict[str, Any],
    rows: Sequence[tuple[Any, ...]],
    *values: NDArray[np.float64],
) -> str:
    """Return a checksum of everything that a ledger stores about a group."""
    # NaN has many bit patterns; a NULL is read as one of them.
    bits = b"".join(
        np.where(np.isnan(each), np.nan, each).astype("<f8").tobytes() for each in values
    )
    description = json_digest([identity, n_examples, precision, contents, provenance, rows])
    return bytes_digest(description.encode() + bits)
