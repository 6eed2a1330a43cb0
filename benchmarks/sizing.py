"""How much of a workload a contestant is timed on: all of it, or a part that it can afford.

A contestant is extrapolated only if the whole would need more than the limit. Its first part, two
representations, predicts that poorly: fixed costs make the whole look too slow. So the part grows,
at most four times in each step, until it is the whole or the next one would be too slow.
"""

from __future__ import annotations

from dataclasses import dataclass

#: A step multiplies the predicted cost by at most this much.
STEP = 4
#: A part that should be fast enough is tried if the most that it can need is this many limits.
RISK = 4


@dataclass(frozen=True)
class Part:
    """A part of a workload: some groups of a size, or one group of fewer representations.

    Attributes
    ----------
    because
        Why it is not the whole: "time" or "memory"; None for the whole.
    """

    groups: int
    m: int
    because: str | None = None


class Sizing:
    """The search for the largest part that a contestant can afford.

    Parameters
    ----------
    groups, m
        The whole: the number of groups, and of the representations in each.
    contestant
        Its `growth` and `memory_growth` say how time and memory grow with the representations.
    limit, room
        Seconds and bytes of one call.
    """

    def __init__(self, groups, m, contestant, limit, room):
        self._whole = Part(groups, m)
        self._contestant = contestant
        self._limit, self._room = limit, room
        self._measured = []

    def largest(self, measure):
        """The largest affordable part; `measure(groups, m)` gives the seconds and bytes of one."""
        part = Part(1, min(2, self._whole.m))
        while part.because is None:
            if part == self._whole:
                return part
            seconds, memory = measure(part.groups, part.m)
            self._measured.append((self._work(part), seconds))
            part = self._next(part, seconds, memory)
        return part

    def _next(self, part, seconds, memory):
        """The part to measure after this one, or this one with the reason why it is the last."""
        larger = [each for each in self._larger(part) if self._holds(each, part, memory)]
        if not larger:
            return Part(part.groups, part.m, "memory")
        quick = [each for each in larger if self._is_quick(each)]
        if quick:
            return quick[-1]
        if len(self._measured) == 1 and seconds <= self._limit:
            return larger[0]  # a second part shows what of the first was a fixed cost
        return Part(part.groups, part.m, "time")

    def _larger(self, part):
        """Larger parts within one step, the smallest first; there is always one."""
        whole = self._whole
        if part.m < whole.m:
            parts = [Part(1, m) for m in range(part.m + 1, whole.m + 1)]
        else:
            most = min(whole.groups, STEP * part.groups)
            parts = [Part(groups, whole.m) for groups in range(part.groups + 1, most + 1)]
        within = [each for each in parts if self._work(each) <= STEP * self._work(part)]
        return within or parts[:1]

    def _is_quick(self, part):
        """Whether it should end within the limit: in proportion, or by the last two parts."""
        work = self._work(part)
        before, seconds = self._measured[-1]
        at_most = seconds * work / before
        if at_most <= self._limit:
            return True
        if len(self._measured) == 1 or at_most > RISK * self._limit:
            return False
        earlier, earlier_seconds = self._measured[-2]
        slope = max(0.0, (seconds - earlier_seconds) / (before - earlier))
        return seconds + slope * (work - before) <= self._limit

    def _work(self, part):
        return self._contestant.growth(part.m) * part.groups

    def _holds(self, part, measured, memory):
        grows = self._contestant.memory_growth
        return memory * grows(part.m) / grows(measured.m) <= self._room
