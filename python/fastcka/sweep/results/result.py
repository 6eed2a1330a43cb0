"""The events of a running sweep, and its result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

SHOWN_FAILURES = 5


@dataclass(frozen=True, slots=True)
class SweepEvent:
    """One event of a running sweep.

    Attributes
    ----------
    kind
        ``planned``; ``connected`` with the workers of a cluster; once for each group ``reused``,
        ``computed`` (and committed) or ``failed``;
        ``recomputing`` if the ledger's values of a group are damaged or from other data;
        ``undefined`` for a representation without a similarity; ``no_figures``; ``replaced`` if the
        folder contained the results of another sweep; ``doubtful`` for equal models or steps.
    message
        The event as text.
    group
        The name of the group; empty if the event is not about one group.
    """

    kind: Literal[
        "planned",
        "connected",
        "reused",
        "computed",
        "failed",
        "recomputing",
        "undefined",
        "no_figures",
        "replaced",
        "doubtful",
    ]
    message: str
    group: str | None = None


@dataclass(frozen=True, slots=True)
class SweepResult:
    """The counts of a finished sweep, and the paths of its results.

    Attributes
    ----------
    output, results_path, ledger_path, run_path
        Paths of the folder, ``results.csv``, the ledger that was written, and ``run.json``.
    shard
        The shard, ``"2/4"``; None for a whole sweep.
    written
        Whether results.csv and run.json were written. A shard writes them only if no other shard
        has groups left to compute.
    groups_waiting
        Number of groups of other shards that are not yet in a ledger.
    figures
        Paths of the heatmaps, in the order of the groups; empty without matplotlib.
    groups_computed, groups_reused
        Number of groups that this run computed, and of groups that were in the ledger; for a shard,
        only its groups count.
    failed
        Group -> why it has no values. Empty except in the result of a `FailedGroupsError`.
    representations, comparisons
        Their numbers in the plan of the whole sweep.
    undefined
        Number of comparisons without a value (NaN, with the reason in ``results.csv``).
    dropped
        Reason -> count of what the plan leaves out.
    notes
        Messages that deserve attention: recomputed groups, undefined similarities, missing figures,
        replaced results, equal models or steps.
    seconds
        Wall time of the run.
    """

    output: Path
    results_path: Path
    ledger_path: Path
    run_path: Path
    figures: tuple[Path, ...]
    shard: str | None
    written: bool
    groups_waiting: int
    groups_computed: int
    groups_reused: int
    failed: dict[str, str]
    representations: int
    comparisons: int
    undefined: int
    dropped: dict[str, int]
    notes: tuple[str, ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return the result for JSON."""
        return {
            "output": str(self.output),
            "results": str(self.results_path),
            "ledger": str(self.ledger_path),
            "run": str(self.run_path),
            "figures": [str(path) for path in self.figures],
            "shard": self.shard,
            "written": self.written,
            "groups_waiting": self.groups_waiting,
            "groups_computed": self.groups_computed,
            "groups_reused": self.groups_reused,
            "failed": dict(self.failed),
            "representations": self.representations,
            "comparisons": self.comparisons,
            "undefined": self.undefined,
            "dropped": self.dropped,
            "notes": list(self.notes),
            "seconds": self.seconds,
        }


def failed_text(result: SweepResult) -> str:
    """Return which groups failed and why, for an error."""
    shown = [f"group '{name}': {why}" for name, why in list(result.failed.items())[:SHOWN_FAILURES]]
    if len(result.failed) > SHOWN_FAILURES:
        shown.append(f"and {len(result.failed) - SHOWN_FAILURES} more")
    groups = f"{len(result.failed):,} group{'' if len(result.failed) == 1 else 's'}"
    return (
        f"{groups} could not be computed; the others are in the ledger, and the same command "
        "computes what is missing:\n" + "\n".join(shown)
    )
