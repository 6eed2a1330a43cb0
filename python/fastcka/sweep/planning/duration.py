"""The predicted time of a sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastcka.sweep.planning.group import GroupPlan

BYTES_PER_SECOND = 1e9
"""Assumed rate of reading a store: a local disk, or the page cache with checksums."""


def seconds_of(groups: Sequence[GroupPlan]) -> float:
    """Return the predicted seconds: of each group, the slower of reading and computing."""
    return sum(max(group.seconds, group.bytes_to_read / BYTES_PER_SECOND) for group in groups)


def time_text(groups: Sequence[GroupPlan]) -> str:
    """Return the predicted time of groups as text, and what it does not contain."""
    if not groups:
        return "nothing to compute"
    seconds = seconds_of(groups)
    predicted = f"about {seconds:,.1f} s" if seconds >= 0.1 else "under 0.1 s"
    return (
        f"{predicted} to read and compute; drawing a heatmap for each group is not included, and "
        "takes most of the time of a small sweep"
    )
