"""Comparisons without what some of their representations explain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fastcka.core.estimators import MIN_EXAMPLES
from fastcka.core.inference.partial import partial_cka
from fastcka.errors import InputError

if TYPE_CHECKING:
    from fastcka.core.comparison import Comparison


def partial_of(comparison: Comparison, given: str | int | Sequence[str | int]) -> Comparison:
    """Return the partial similarities; see `Comparison.partial`."""
    wanted = [given] if isinstance(given, str | int) else list(given)
    positions = [_position(comparison.names, each) for each in wanted]
    if not positions or len(set(positions)) != len(positions):
        raise InputError(f"given: expected one or more different confounders, got {given!r}")
    if comparison.estimator == "feature_corrected":
        raise InputError(
            "partial needs an inner product, and estimator 'feature_corrected' is none: compare "
            "with estimator='unbiased'"
        )
    left = [i for i in range(len(comparison.labels)) if i not in positions]
    where = {old: new for new, old in enumerate(left)}
    unbiased = comparison.unbiased
    if comparison.n_examples >= MIN_EXAMPLES["unbiased"]:
        unbiased = partial_cka(unbiased, positions)
    chosen = np.ix_(left, left)
    nothing = np.full((len(left), len(left)), np.nan)
    pairs = [
        [where[a], where[b]] for a, b in comparison.pairs.tolist() if a in where and b in where
    ]
    confounders = [comparison.names[i] for i in positions]
    return replace(
        comparison,
        labels=tuple(comparison.labels[i] for i in left),
        biased=partial_cka(comparison.biased, positions)[chosen],
        unbiased=unbiased[chosen],
        hsic_biased=nothing,
        hsic_unbiased=nothing.copy(),
        pairs=np.array(pairs, np.int64).reshape(-1, 2),
        provenance={**comparison.provenance, "partial": confounders},
        undefined={where[i]: why for i, why in comparison.undefined.items() if i in where},
        feature_corrected=None,
        moments=None,
        inference=None,
    )


def _position(names: list[str], given: str | int) -> int:
    if isinstance(given, str) and names.count(given) == 1:
        return names.index(given)
    if not isinstance(given, str | bool) and 0 <= given < len(names):
        return int(given)
    raise InputError(
        f"given: expected a name or a position from 0 to {len(names) - 1}, got {given!r}; the "
        f"names are {', '.join(names)}"
    )
