"""Groups of pairs compared as what they are: pairs that share models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastcka.errors import InputError
from fastcka.stats.bootstrap import model_bootstrap
from fastcka.stats.matrix import positions, refuse_repeats, sorted_models
from fastcka.stats.permutation import PermutationTest, exchangeable_classes, permutation_test
from fastcka.stats.table import PairTable, label_text

PERMUTATIONS = 9_999
"""With the observed labelling, 10,000: p-values end after four digits."""
DRAWS = 4_000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class PairGroup:
    """One of the two groups.

    Attributes
    ----------
    name
        In words: "same variant".
    mean
        Mean similarity of its pairs.
    n_pairs, n_models
        Number of pairs, and of different models in them.
    """

    name: str
    mean: float
    n_pairs: int
    n_models: int


@dataclass(frozen=True, slots=True)
class PairComparison:
    """A difference between two groups of pairs, with what chance would do.

    Attributes
    ----------
    first, second
        The groups.
    effect
        ``first.mean - second.mean``.
    low, high, confidence
        Interval for the effect: model-level bootstrap (see `fastcka.stats.bootstrap`).
    p
        Two-sided; permutation of model labels (see `fastcka.stats.permutation`).
    n_models, n_pairs
        All that took part.
    permutations, exact
        Relabellings, and whether they were all that there are.
    draws
        Resamples of the interval.
    notes
        Why the p-value or the interval is NaN.
    """

    first: PairGroup
    second: PairGroup
    effect: float
    low: float
    high: float
    confidence: float
    p: float
    n_models: int
    n_pairs: int
    permutations: int
    exact: bool
    draws: int
    notes: tuple[str, ...]


def compare_pairs(
    table: PairTable,
    *,
    same: str = "variant",
    permute_within: str | None = None,
    permutations: int = PERMUTATIONS,
    draws: int = DRAWS,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> PairComparison:
    """Compare the pairs that agree in a field with those that differ in it.

    ``same="variant"`` is same task against different task; ``same="seed"`` is intra against inter
    seed. To compare like with like, keep the right pairs first: pairs of one variant always differ
    in seed, so ``compare_pairs(table.keep(table.differ("seed")))``.

    Parameters
    ----------
    table
        One layer at one step: each pair of models stands there once. Pairs of a model with itself,
        without a value, or without the field are left out.
    same
        The field.
    permute_within
        Permute labels only between models that agree in this field, where the field is known to
        matter (family, say). Models that cannot trade labels because of pairs that were never
        measured are kept apart in any case.
    permutations, draws, confidence, seed
        Of the test and of the interval; the same seed gives the same numbers.

    Raises
    ------
    InputError
        A field is missing, one of the groups is empty, a pair of models stands there twice, or a
        number is out of range.
    """
    table.require(same)
    usable = table.defined()
    usable = usable.keep(usable.same(same) | usable.differ(same))
    agree = usable.same(same)
    return _compare(
        usable,
        field=same,
        kinds=np.where(agree, 0, 1),
        names=(f"same {same}", f"different {same}"),
        between=None,
        permute_within=permute_within,
        options=(permutations, draws, confidence, seed),
    )


def compare_values(
    table: PairTable,
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
    """Compare the pairs within one label of a field with those within another.

    ``field="family", first="cnn", second="mlp"``: are CNNs more alike among themselves than MLPs?
    The test permutes families over models, so it needs the pairs of a CNN with an MLP as well;
    where the sweep left them out (`within: [family]`) p is NaN, and the interval stands alone.

    Parameters and errors are those of `compare_pairs`.
    """
    table.require(field)
    one, other = label_text(first), label_text(second)
    if one is None or other is None or one == other:
        raise InputError(
            f"first, second: expected two values of '{field}'; came {first!r}, {second!r}"
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
        options=(permutations, draws, confidence, seed),
    )


def _compare(
    table: PairTable,
    *,
    field: str,
    kinds: NDArray[np.int64],
    names: Sequence[str],
    between: tuple[str, str] | None,
    permute_within: str | None,
    options: tuple[int, int, float, int],
) -> PairComparison:
    permutations, draws, confidence, seed = options
    if permute_within is not None:
        table.require(permute_within)
    if permutations < 1 or draws < 100 or not 0 < confidence < 1:
        raise InputError(
            "permutations, draws, confidence: expected at least 1, at least 100, and a number "
            f"between 0 and 1; came {permutations}, {draws}, {confidence}"
        )
    models = sorted_models(table)
    place = {model: at for at, model in enumerate(models)}
    ends = np.stack([positions(side["model"], place) for side in (table.a, table.b)])
    for kind, name in enumerate(names):
        if not (kinds == kind).any():
            raise InputError(f"no pair of models is of '{name}': there is nothing to compare")
    refuse_repeats(ends[0], ends[1], models)
    factors = table.models()
    own = [factors[model][field] for model in models]
    labels = _codes(own)
    contrast = _contrast(own, kinds, between)
    within = (
        np.zeros(len(models), np.int64)
        if permute_within is None
        else _codes([factors[model][permute_within] for model in models])
    )
    chance, resampling = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(2))
    test = permutation_test(
        table.cka,
        ends,
        labels,
        contrast,
        exchangeable_classes(len(models), ends, within),
        permutations=permutations,
        rng=chance,
    )
    interval = model_bootstrap(
        table.cka,
        ends,
        kinds,
        np.zeros(len(models), np.int64) if between is None else labels,
        confidence=confidence,
        draws=draws,
        rng=resampling,
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
        confidence=confidence,
        p=test.p,
        n_models=len(models),
        n_pairs=len(table),
        permutations=test.permutations,
        exact=test.exact,
        draws=draws,
        notes=_notes(test, interval.why_undefined, field),
    )


def _contrast(
    own: Sequence[str | None], kinds: NDArray[np.int64], between: tuple[str, str] | None
) -> NDArray[np.float64]:
    """Return (K, K): the weight in the difference of a pair whose models have these labels."""
    labels = list(dict.fromkeys(own))  # as `_codes` numbers them
    first, second = 1 / (kinds == 0).sum(), -1 / (kinds == 1).sum()
    if between is None:
        contrast = np.full((len(labels), len(labels)), second, np.float64)
        np.fill_diagonal(contrast, first)
        return contrast
    contrast = np.zeros((len(labels), len(labels)))
    for name, weight in zip(between, (first, second), strict=True):
        at = labels.index(name)
        contrast[at, at] = weight
    return contrast


def _codes(labels: Sequence[str | None]) -> NDArray[np.int64]:
    codes = {label: at for at, label in enumerate(dict.fromkeys(labels))}
    return np.array([codes[label] for label in labels], np.int64)


def _notes(test: PermutationTest, no_interval: str | None, field: str) -> tuple[str, ...]:
    notes = []
    if not test.permutations:
        notes.append(
            f"no p-value: no two models of different '{field}' can trade labels, since the pairs "
            "that this needs were not compared"
        )
    if no_interval is not None:
        notes.append(f"no interval: {no_interval}")
    return tuple(notes)
