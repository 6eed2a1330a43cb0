"""Subsets of the examples whose similarities follow from one pass: unions of folds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcka.core.estimators import Estimates, HsicEstimator, estimate
from fastcka.core.sums import Sums
from fastcka.errors import InternalError


@dataclass(frozen=True, eq=False)
class Subsets:
    """Subsets of the examples, one for each fold.

    Attributes
    ----------
    fold
        (n_examples,) int64: the fold of each example, from 0 on; no fold is empty.
    nested
        Whether subset b contains the folds 0 to b; otherwise it contains all folds but b.
    """

    fold: NDArray[np.int64]
    nested: bool

    @property
    def count(self) -> int:
        """Number of subsets."""
        return int(self.fold.max()) + 1

    @property
    def fold_sizes(self) -> NDArray[np.int64]:
        """(B,): number of examples in each fold."""
        return np.bincount(self.fold)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(B,): number of examples in each subset."""
        sizes = self.fold_sizes
        return np.cumsum(sizes) if self.nested else len(self.fold) - sizes


SubsetsOf = Callable[[int], Subsets]
"""From a number of examples to the subsets that a call asks for."""


def estimates_of(sums: Sums, subsets: Subsets, estimator: HsicEstimator) -> list[Estimates]:
    """Return HSIC and CKA of all pairs for each subset."""
    return [
        estimate(sums_of_subset(sums, subset, int(size)), estimator)
        for subset, size in enumerate(subsets.sizes)
    ]


def sums_of_subset(sums: Sums, subset: int, n_examples: int) -> Sums:
    """Return the sums over the examples of one subset, as a pass over them alone returns them."""
    if sums.subsets is None:
        raise InternalError("the pass was run without subsets")
    parts: dict[str, Any] = {name: part[subset] for name, part in sums.subsets.items()}
    parts["near_norms"] = parts["near_norms"].diagonal().copy()
    return replace(sums, n_examples=n_examples, subsets=None, **parts)
