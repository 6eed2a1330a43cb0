"""The data that the views of a report show."""

from __future__ import annotations

from dataclasses import dataclass

from fastcka.report.facts import RunFacts
from fastcka.report.roles import Roles
from fastcka.report.slices import Cut, Slice


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
    """

    cut: Cut
    roles: Roles
    facts: RunFacts
    drawn: frozenset[str]
    permutations: int

    def caption(self, part: Slice) -> str:
        """Return the caption for the figure of a slice."""
        return self.facts.caption(part.table)

    def drawn_slices(self) -> list[Slice]:
        """Return the slices at the steps for which figures are drawn."""
        return [part for part in self.cut.slices if part.step in self.drawn]
