"""Counts of what a sweep leaves out, by reason, with a few names for each reason."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_EXAMPLES = 3
MOST_REASONS = 10


class Dropped:
    """Counts by reason. A reason is a plural noun phrase: "groups without a comparison".

    Attributes
    ----------
    counts
        Reason -> count.
    examples
        Reason -> the first `MOST_EXAMPLES` names.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, reason: str, *examples: str, count: int = 1) -> None:
        """Add ``count`` to ``reason``, and some names of what it counts."""
        self.counts[reason] += count
        known = self.examples[reason]
        known.extend(examples[: MOST_EXAMPLES - len(known)])


def counted_reason(count: int, reason: str) -> str:
    """Return "1 group without a comparison" or "12 groups without a comparison"."""
    if count == 1:
        reason = re.sub(r"\b(representation|group|pair|file)s\b", r"\1", reason, count=1)
    return f"{count:,} {reason}"


def left_out_text(
    counts: Mapping[str, int], examples: Mapping[str, Sequence[str]] | None = None
) -> str:
    """Return a line for each reason, with its examples below it; "nothing" without reasons."""
    lines = []
    for reason, count in list(counts.items())[:MOST_REASONS]:
        lines.append(counted_reason(count, reason))
        lines += [f"  {example}" for example in (examples or {}).get(reason, ())]
    if len(counts) > MOST_REASONS:
        lines.append(f"and {len(counts) - MOST_REASONS} more reasons; --json lists all")
    return "\n".join(lines) or "nothing"
