"""The result of comparing two groups of pairs."""

from __future__ import annotations

from dataclasses import dataclass

from fastcka.stats.printed import Printed, Table


@dataclass(frozen=True, slots=True)
class PairGroup:
    """One of the two groups of pairs.

    Attributes
    ----------
    name
        Description, such as "same variant".
    mean
        Mean similarity of the pairs.
    n_pairs, n_models
        Number of pairs, and number of distinct models in them.
    """

    name: str
    mean: float
    n_pairs: int
    n_models: int


@dataclass(frozen=True, slots=True, repr=False)
class PairComparison(Printed):
    """The difference between two groups of pairs, with its interval and p-value.

    Attributes
    ----------
    first, second
        The groups.
    effect
        ``first.mean - second.mean``.
    low, high, confidence
        Confidence interval of the effect from a bootstrap of models (see
        `fastcka.stats.bootstrap`), and its level.
    p
        Two-sided p-value from permuting the labels of models (see `fastcka.stats.permutation`).
        NaN if the relabellings cannot give a p-value of at most 0.05.
    n_models, n_pairs
        Number of models and pairs in the test. `compare_values` also uses the pairs between the
        two groups.
    permutations, exact
        Number of relabellings, and whether these are all possible relabellings.
    draws
        Number of bootstrap samples.
    smallest_p
        The smallest p-value that these relabellings allow; 1 if no labels can move.
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
    smallest_p: float
    notes: tuple[str, ...]

    def _table(self) -> Table:
        rows = [
            (group.name, group.mean, group.n_pairs, group.n_models)
            for group in (self.first, self.second)
        ]
        heading = (
            f"PairComparison: difference {self.effect:.4f}, {self.confidence:.0%} interval "
            f"{self.low:.4f} to {self.high:.4f}, p = {self.p:.3g} ({self.permutations:,} "
            "relabellings)"
        )
        heading = "\n".join([heading, *self.notes])
        return Table(heading, ["group", "mean", "n_pairs", "n_models"], iter(rows), len(rows))
