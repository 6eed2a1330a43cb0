"""Which steps are compared: the phases of a run, their pairs, and the control for time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from fastcka.errors import InputError

#: A window of updates that is compared with another is at least this share of it, and at most all.
SHORTEST_MATCH = 0.5


@dataclass(frozen=True, slots=True)
class Question:
    """Is ``early`` farther from ``late`` than ``mid`` is? With the steps of the three.

    Attributes
    ----------
    names
        The phases early, mid and late, as the plan calls them.
    early, mid, late
        Their steps, ascending.
    matched
        The step t for which (early, t) lasts as long as (mid, late) or, at most, half as long;
        None where no such checkpoint exists.
    """

    names: tuple[str, str, str]
    early: int
    mid: int
    late: int
    matched: int | None


@dataclass(frozen=True, slots=True)
class Phases:
    """The phases of one experiment, in the order of their steps.

    Attributes
    ----------
    steps
        Name -> step (completed updates), ascending.
    """

    steps: Mapping[str, int]

    def __post_init__(self) -> None:
        if not self.steps:
            raise InputError("phases is empty: at least one phase with a step is needed")
        ordered = dict(sorted(self.steps.items(), key=lambda item: item[1]))
        if len(set(ordered.values())) != len(ordered):
            raise InputError(f"phases must have steps of their own, got {ordered}")
        object.__setattr__(self, "steps", ordered)

    def pairs(self) -> dict[str, tuple[int, int]]:
        """``{"early_vs_mid": (100, 1000), ...}``: all pairs, the earlier step first."""
        return {
            f"{a}_vs_{b}": (self.steps[a], self.steps[b]) for a, b in combinations(self.steps, 2)
        }

    def questions(self, available: Iterable[int]) -> list[Question]:
        """The document's question for the first and the last phase and each one between them.

        Parameters
        ----------
        available
            Steps that have a checkpoint, for the control for time.
        """
        names = list(self.steps)
        first, last = names[0], names[-1]
        steps = set(available)
        return [
            Question(
                (first, mid, last),
                self.steps[first],
                self.steps[mid],
                self.steps[last],
                matched_step(steps, self.steps[first], self.steps[last] - self.steps[mid]),
            )
            for mid in names[1:-1]
        ]


def matched_step(available: Iterable[int], start: int, length: int) -> int | None:
    """Return the step that makes the longest window from ``start`` of at most ``length`` updates.

    A shorter window leaves less time to change, so that a similarity below that of the longer
    window cannot be put down to time. A window below `SHORTEST_MATCH` of the length is no match.
    """
    windows = [step for step in available if SHORTEST_MATCH * length <= step - start <= length]
    return max(windows, default=None)
