"""Comparisons without what some of their representations explain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcka.core.columns import JACKKNIFE
from fastcka.core.estimators import MIN_EXAMPLES
from fastcka.core.inference.partial import partial_cka
from fastcka.core.selection import position_of, subset_of
from fastcka.errors import InputError

if TYPE_CHECKING:
    from fastcka.core.comparison import Comparison


def partial_of(comparison: Comparison, given: Any) -> Comparison:
    """Return the partial similarities; see `Comparison.partial`."""
    is_one = isinstance(given, str | Mapping) or hasattr(given, "_asdict")
    several = isinstance(given, Iterable) and not is_one
    wanted = list(given) if several else [given]
    positions = [position_of(comparison.labels, each, "given") for each in wanted]
    if not positions or len(set(positions)) != len(positions):
        raise InputError(f"given: expected one or more different confounders, got {given!r}")
    if comparison.estimator == "feature_corrected":
        raise InputError(
            "partial needs an inner product, and estimator 'feature_corrected' is none: compare "
            "with estimator='unbiased'"
        )
    left = [i for i in range(len(comparison.labels)) if i not in positions]
    products = comparison.provenance.get("products", "float32")
    biased, unbiased = partial_cka(comparison.biased, positions, products), comparison.unbiased
    if comparison.n_examples >= MIN_EXAMPLES["unbiased"]:
        unbiased = partial_cka(unbiased, positions, products)
    chosen = np.ix_(left, left)
    nothing = np.full((len(left), len(left)), np.nan)
    none: dict[str, Any] = dict.fromkeys(column.attribute for column in JACKKNIFE)
    made = {name: fact for name, fact in comparison.provenance.items() if name != "measures"}
    confounders = [comparison.names[i] for i in positions]
    rest = subset_of(comparison, left)
    cka = (biased if comparison.estimator == "biased" else unbiased)[chosen]
    undefined = dict.fromkeys(
        np.flatnonzero(np.isnan(cka.diagonal())).tolist(), _explained(confounders, products)
    )
    return replace(
        rest,
        undefined=undefined | rest.undefined,
        biased=biased[chosen],
        unbiased=unbiased[chosen],
        hsic_biased=nothing,
        hsic_unbiased=nothing.copy(),
        provenance={**made, "partial": [*made.get("partial", []), *confounders]},
        feature_corrected=None,
        moments=None,
        inference=None,
        measures={},
        **none,
    )


def _explained(confounders: list[str], products: str) -> str:
    reason = (
        f"without {', '.join(confounders)} nothing is left of its Gram matrix, within the rounding "
        f"of {products} products"
    )
    return reason if products == "float64" else f"{reason} (precision 'float64' keeps more digits)"
