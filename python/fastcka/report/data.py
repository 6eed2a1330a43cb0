"""The data that the views of a report show."""

from __future__ import annotations

from dataclasses import dataclass

from fastcka.report.clusters import Clusters, clusters_of
from fastcka.report.facts import RunFacts
from fastcka.report.pairs import Pairs
from fastcka.report.roles import Roles
from fastcka.report.slices import Cut, Slice, cut
from fastcka.stats import PairTable

_MOST_DRAWN_STEPS = 3


@dataclass(frozen=True, eq=False)
class ReportData:
    """The results of a sweep, prepared for the views.

    Attributes
    ----------
    cut
        The table, cut into slices.
    roles
        Which factors are the variant, the seed and the family.
    facts
        Facts from run.json.
    drawn
        The steps for which figures are drawn. Tables contain all steps.
    permutations
        Number of relabellings in each permutation test.
    pairs
        All pairs, those of the views and all others.
    clusters
        The clusterings of the representations at the last step.
    """

    cut: Cut
    roles: Roles
    facts: RunFacts
    drawn: frozenset[str]
    permutations: int
    pairs: Pairs
    clusters: Clusters

    def caption(self, part: Slice) -> str:
        """Return the caption for the figure of a slice."""
        return self.facts.caption(part.table)

    @classmethod
    def of(
        cls,
        table: PairTable,
        facts: RunFacts,
        roles: Roles,
        *,
        all_steps: bool,
        permutations: int,
    ) -> ReportData:
        """Prepare a table. Of more than three steps only the last is drawn, unless `all_steps`."""
        parts = cut(table, roles)
        few = all_steps or len(parts.steps) <= _MOST_DRAWN_STEPS
        pairs = Pairs.of(table, roles)
        return cls(
            parts,
            roles,
            facts,
            frozenset(parts.steps if few else parts.steps[-1:]),
            permutations,
            pairs,
            clusters_of(parts, pairs, roles),
        )

    def drawn_slices(self) -> list[Slice]:
        """Return the slices at the steps for which figures are drawn."""
        return [part for part in self.cut.slices if part.step in self.drawn]
