"""Compare the mean similarity of two groups of pairs; pairs may share models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastcka.core import Comparison
from fastcka.errors import InputError
from fastcka.stats.bootstrap import model_bootstrap
from fastcka.stats.cells import label_text
from fastcka.stats.comparison import PairComparison, PairGroup
from fastcka.stats.given import as_table
from fastcka.stats.matrix import positions, refuse_repeats, sorted_models
from fastcka.stats.permutation import PermutationTest, exchangeable_classes, permutation_test
from fastcka.stats.table import PairTable

if TYPE_CHECKING:
    import pandas as pd

PERMUTATIONS = 9_999
"""Together with the observed labelling these are 10,000, so p-values have four digits."""
DRAWS = 4_000
CONFIDENCE = 0.95
LARGEST_FLOOR = 0.05
"""If relabelling cannot give a p-value of at most this, no p-value is reported."""
FEWEST_PERMUTATIONS = 19
"""The smallest possible p-value of n random relabellings is 1/(n + 1)."""


@dataclass(frozen=True, slots=True)
class _Resampling:
    """How often labels are permuted and models resampled, and the seed of both."""

    permutations: int
    draws: int
    confidence: float
    seed: int

    def check(self) -> None:
        """Raise `InputError` if a number is out of range."""
        for name in ("permutations", "draws", "seed"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
                raise InputError(f"{name}: expected a whole number, 0 or more, got {value!r}")
        if self.permutations < FEWEST_PERMUTATIONS:
            raise InputError(
                f"permutations: expected at least {FEWEST_PERMUTATIONS} (fewer cannot give a "
                f"p-value of {LARGEST_FLOOR}), got {self.permutations}"
            )
        if self.draws < 100:
            raise InputError(f"draws: expected at least 100, got {self.draws}")
        if not isinstance(self.confidence, Real) or not 0 < self.confidence < 1:
            raise InputError(
                f"confidence: expected a number between 0 and 1, got {self.confidence!r}"
            )

    def generators(self) -> tuple[np.random.Generator, np.random.Generator]:
        """Return independent generators for the permutations and for the bootstrap."""
        test, interval = np.random.SeedSequence(self.seed).spawn(2)
        return np.random.default_rng(test), np.random.default_rng(interval)


def compare_pairs(
    table: PairTable | Comparison | pd.DataFrame,
    *,
    same: str = "variant",
    permute_within: str | None = None,
    permutations: int = PERMUTATIONS,
    draws: int = DRAWS,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> PairComparison:
    """Compare the pairs that agree in a field with the pairs that differ in it.

    ``same="variant"`` compares pairs within a variant with pairs of two variants. If models of one
    variant differ only in seed, restrict the other pairs to different seeds as well, so that both
    groups differ in seed: ``compare_pairs(table.keep(table.differ("seed")))``.

    Parameters
    ----------
    table
        A table of `read_results`, a `Comparison`, or a data frame with the columns of either.
        Pairs at one layer and one step; each pair of models occurs once. Pairs of a model with
        itself, pairs without a value, and pairs without a label in the field are excluded.
    same
        Name of the field.
    permute_within
        Permute labels only between models that agree in this field. Use it for a field that is
        known to matter, such as family. Labels are never exchanged between models if the table
        lacks pairs that the exchange would need.
    permutations
        Number of random relabellings (at least 19).
    draws
        Number of bootstrap samples (at least 100).
    confidence
        Level of the interval, between 0 and 1.
    seed
        Seed of both random generators. The same seed gives the same numbers.

    Raises
    ------
    InputError
        The table lacks a field, a group has no pairs, a pair of models occurs twice, or a number
        is out of range.
    """
    table = as_table(table)
    table.require(same)
    usable = table.defined()
    usable = usable.keep(usable.same(same) | usable.differ(same))
    return _compare(
        usable,
        field=same,
        kinds=np.where(usable.same(same), 0, 1),
        names=(f"same {same}", f"different {same}"),
        between=None,
        permute_within=permute_within,
        resampling=_Resampling(permutations, draws, confidence, seed),
    )


def compare_values(
    table: PairTable | Comparison | pd.DataFrame,
    *,
    first: object,
    second: object,
    field: str = "family",
    permute_within: str | None = None,
    permutations: int = PERMUTATIONS,
    draws: int = DRAWS,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> PairComparison:
    """Compare the pairs within one label of a field with the pairs within another label.

    ``field="family", first="cnn", second="mlp"`` asks whether CNNs are more similar to each other
    than MLPs are. The test permutes the families of the models, so it also needs pairs of a CNN and
    an MLP. If the sweep did not compare them (``within: [family]``), p is NaN and only the interval
    is computed.

    The other parameters and the errors are those of `compare_pairs`.
    """
    table = as_table(table)
    table.require(field)
    one, other = label_text(first), label_text(second)
    if one is None or other is None or one == other:
        raise InputError(
            f"first, second: expected two different values of '{field}', got {first!r} and "
            f"{second!r}"
        )
    usable = table.defined()
    a, b = usable.a[field], usable.b[field]
    inside = ((a == one) | (a == other)) & ((b == one) | (b == other))
    usable = usable.keep(np.asarray(inside, bool))
    a, b = usable.a[field], usable.b[field]
    kinds = np.where(a != b, 2, np.where(a == one, 0, 1))
    return _compare(
        usable,
        field=field,
        kinds=kinds,
        names=(f"{field} {one}", f"{field} {other}"),
        between=(one, other),
        permute_within=permute_within,
        resampling=_Resampling(permutations, draws, confidence, seed),
    )


def _compare(
    table: PairTable,
    *,
    field: str,
    kinds: NDArray[np.int64],
    names: Sequence[str],
    between: tuple[str, str] | None,
    permute_within: str | None,
    resampling: _Resampling,
) -> PairComparison:
    if permute_within is not None:
        table.require(permute_within)
    resampling.check()
    models = sorted_models(table)
    position = {model: i for i, model in enumerate(models)}
    ends = np.stack([positions(side["model"], position) for side in (table.a, table.b)])
    for kind, name in enumerate(names):
        if not (kinds == kind).any():
            raise InputError(f"table: expected pairs of '{name}', got none; nothing to compare")
    refuse_repeats(ends[0], ends[1], models)
    factors = table.models()
    model_labels = [factors[model][field] for model in models]
    labels = _codes(model_labels)
    within = (
        np.zeros(len(models), np.int64)
        if permute_within is None
        else _codes([factors[model][permute_within] for model in models])
    )
    test_generator, interval_generator = resampling.generators()
    test = permutation_test(
        table.cka,
        ends,
        labels,
        _contrast(model_labels, kinds, between),
        exchangeable_classes(len(models), ends, within),
        permutations=resampling.permutations,
        rng=test_generator,
    )
    interval = model_bootstrap(
        table.cka,
        ends,
        kinds,
        np.zeros(len(models), np.int64) if between is None else labels,
        confidence=resampling.confidence,
        draws=resampling.draws,
        rng=interval_generator,
    )
    groups = [
        PairGroup(
            name=name,
            mean=float(table.cka[kinds == kind].mean()),
            n_pairs=int((kinds == kind).sum()),
            n_models=len(np.unique(ends[:, kinds == kind])),
        )
        for kind, name in enumerate(names)
    ]
    return PairComparison(
        first=groups[0],
        second=groups[1],
        effect=groups[0].mean - groups[1].mean,
        low=interval.low,
        high=interval.high,
        confidence=resampling.confidence,
        p=test.p if test.smallest_p <= LARGEST_FLOOR else float("nan"),
        n_models=len(models),
        n_pairs=len(table),
        permutations=test.permutations,
        exact=test.exact,
        draws=resampling.draws,
        smallest_p=test.smallest_p,
        notes=_notes(test, interval.why_undefined, field),
    )


def _contrast(
    labels: Sequence[str | None], kinds: NDArray[np.int64], between: tuple[str, str] | None
) -> NDArray[np.float64]:
    """Return (K, K): the weight of a pair in the difference, given the labels of its two models."""
    distinct = list(dict.fromkeys(labels))  # numbered as in `_codes`
    first, second = 1 / (kinds == 0).sum(), -1 / (kinds == 1).sum()
    if between is None:
        contrast = np.full((len(distinct), len(distinct)), second, np.float64)
        np.fill_diagonal(contrast, first)
        return contrast
    contrast = np.zeros((len(distinct), len(distinct)))
    for name, weight in zip(between, (first, second), strict=True):
        code = distinct.index(name)
        contrast[code, code] = weight
    return contrast


def _codes(labels: Sequence[str | None]) -> NDArray[np.int64]:
    codes = {label: code for code, label in enumerate(dict.fromkeys(labels))}
    return np.array([codes[label] for label in labels], np.int64)


def _notes(test: PermutationTest, no_interval: str | None, field: str) -> tuple[str, ...]:
    notes = []
    if not test.permutations:
        notes.append(
            f"no p-value: models of different '{field}' cannot exchange labels, because the sweep "
            "did not compare all the pairs that relabelling needs"
        )
    elif test.smallest_p > LARGEST_FLOOR:
        notes.append(
            f"no p-value: these models have {test.permutations} relabellings, which cannot give "
            f"p below {test.smallest_p:.2g}"
        )
    if no_interval is not None:
        notes.append(f"no interval: {no_interval}")
    return tuple(notes)
