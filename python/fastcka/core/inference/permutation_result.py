"""The result of a permutation test."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastcka.core.comparison import Matrix, label_text
from fastcka.core.estimators import Estimator
from fastcka.core.inference.options import Alternative
from fastcka.errors import MissingExtraError

if TYPE_CHECKING:
    import pandas as pd

MATRICES = ("observed", "p_value", "threshold", "calibrated", "null_mean", "null_sd")


@dataclass(frozen=True, eq=False)
class PermutedMatrices:
    """Observed and permuted similarities of all pairs of M representations or models.

    Attributes
    ----------
    labels
        A mapping from field to value for each representation or model.
    pairs
        (P, 2) int: positions of the requested pairs, a < b.
    observed
        (M, M): CKA, or the aggregate over the layers of two models. All matrices are symmetric and
        float64; their diagonals are NaN, because a representation is not tested against itself.
    p_value
        (M, M): (1 + number of permutations that reach the observed value) / (1 + permutations).
    threshold
        (M, M): the ``level`` quantile of the null distribution, the observed value included.
    calibrated
        (M, M): (observed - threshold) / (1 - threshold), within [0, 1].
    null_mean, null_sd
        (M, M): mean and standard deviation over the permutations.
    null
        (K, P): the values under each permutation, a column for each of `pairs`.
    """

    labels: tuple[dict[str, Any], ...]
    pairs: NDArray[np.int64]
    observed: Matrix
    p_value: Matrix
    threshold: Matrix
    calibrated: Matrix
    null_mean: Matrix
    null_sd: Matrix
    null: Matrix

    @property
    def names(self) -> list[str]:
        """One display name for each representation or model."""
        return [label_text(label) for label in self.labels]

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row for each of `pairs`: the label fields of both sides, and the values."""
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingExtraError.of("to_dataframe", "pandas", "report") from error
        a, b = self.pairs.T
        columns: dict[str, Any] = {}
        fields = list(dict.fromkeys(name for label in self.labels for name in label))
        for side, positions in (("a", a), ("b", b)):
            for name in fields:
                columns[f"{name}_{side}"] = [self.labels[i].get(name) for i in positions]
        columns |= {name: getattr(self, name)[a, b] for name in MATRICES}
        return pd.DataFrame(columns, index=pd.RangeIndex(len(a)))


@dataclass(frozen=True, eq=False)
class PermutationTest(PermutedMatrices):
    """The result of `fastcka.permutation_test`, with the attributes of `PermutedMatrices`.

    Attributes
    ----------
    estimator, n_examples, alternative, level, seed
        The arguments of the call.
    n_permutations
        Number of permutations K, without the identity.
    n_distinct
        Number of distinct permutations that the blocks allow, the identity among them.
    exact
        Whether all distinct permutations were used instead of a random sample.
    smallest_p
        The smallest possible p-value, 1 / (K + 1).
    exchange, n_blocks
        "within" or "whole", and the number of blocks; None and 0 without blocks.
    models
        The same for the aggregates of pairs of models; None without ``aggregate``.
    undefined
        Position of a representation -> why its row and column are NaN.
    provenance
        Of the observed values, as in `Comparison`; also the generator of the permutations.
    """

    estimator: Estimator
    n_examples: int
    alternative: Alternative
    level: float
    seed: int
    n_permutations: int
    n_distinct: int
    exact: bool
    smallest_p: float
    exchange: str | None
    n_blocks: int
    models: PermutedMatrices | None = None
    undefined: dict[int, str] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return (
            f"PermutationTest({len(self.labels)} representations, {len(self.pairs)} pairs, "
            f"{self.n_examples} examples, {self.estimator}, {self.n_permutations} permutations)"
        )
