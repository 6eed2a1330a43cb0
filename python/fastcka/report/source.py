"""What every view is made from."""

from __future__ import annotations

from dataclasses import dataclass

from fastcka.report.facts import RunFacts
from fastcka.report.roles import Roles
from fastcka.report.slices import Cut, Slice


@dataclass(frozen=True, eq=False)
class Source:
    """The table cut into slices, the parts that factors play, and the facts of the run.

    Attributes
    ----------
    drawn
        The steps that are drawn; tables hold all of them.
    """

    cut: Cut
    roles: Roles
    facts: RunFacts
    drawn: frozenset[str]
    permutations: int

    def caption(self, part: Slice) -> str:
        """Return what the figure of a slice says below."""
        return self.facts.caption(part.table)

    def drawn_slices(self) -> list[Slice]:
        """Return the slices at the steps that are drawn."""
        return [part for part in self.cut.slices if part.step in self.drawn]
