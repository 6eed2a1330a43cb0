"""The phases of a run, their pairs, and the steps of the control for time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from fastcka.errors import InputError

#: The shortest matched window, as a share of the window that it is compared with.
SHORTEST_MATCH = 0.5


@dataclass(frozen=True, slots=True)
class Question:
    """The question of a verdict: is ``early`` less similar to ``late`` than ``mid`` is?

    Attributes
    ----------
    names
        Names of the three phases in the plan.
    early, mid, late
        Their steps, ascending.
    matched
        The step t that ends the time-matched window (early, t); see `matched_step`. None if no
        checkpoint fits.
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
            raise InputError("phases: expected at least one phase with a step, got none")
        ordered = dict(sorted(self.steps.items(), key=lambda item: item[1]))
        if len(set(ordered.values())) != len(ordered):
            raise InputError(f"phases: expected a different step for each phase, got {ordered}")
        object.__setattr__(self, "steps", ordered)

    def pairs(self) -> dict[str, tuple[int, int]]:
        """Return ``{"early_vs_mid": (100, 1000), ...}``: all pairs, with the earlier step first."""
        return {
            f"{a}_vs_{b}": (self.steps[a], self.steps[b]) for a, b in combinations(self.steps, 2)
        }

    def questions(self, available: Iterable[int]) -> list[Question]:
        """Return the question for each phase between the first and the last.

        Parameters
        ----------
        available
            Steps with a checkpoint; the control for time uses one of them.
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
    """Return the end of the longest window from ``start`` with at most ``length`` updates.

    A shorter window has less time for change. If its two ends are nevertheless less similar, time
    does not explain it. Windows shorter than `SHORTEST_MATCH` times the length do not count.
    """
    windows = [step for step in available if SHORTEST_MATCH * length <= step - start <= length]
    return max(windows, default=None)
