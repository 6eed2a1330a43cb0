"""What a sweep tells while it runs, and when it has run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

SHOWN_FAILURES = 5


@dataclass(frozen=True, slots=True)
class SweepEvent:
    """Progress of a sweep, for the person who waits for it.

    Attributes
    ----------
    kind
        ``planned``; ``reused``, ``computed`` (it is committed) or ``failed`` once a group;
        ``recomputing`` where the ledger's values of a group are damaged or of other data;
        ``undefined`` for a representation without a similarity; ``no_figures``; ``replaced`` where
        the results of another sweep were; ``doubtful`` for steps of one model that are equal.
    message
        It in words.
    group
        The name of the group, where it is about one.
    """

    kind: Literal[
        "planned",
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
    """What a sweep computed, and the paths of its results.

    Attributes
    ----------
    output, results_path, ledger_path, run_path
        The folder, ``results.csv``, the ledger that was written, ``run.json``.
    shard
        Which one it was, ``"2/4"``; None for a whole sweep.
    written
        Whether results.csv and run.json were written: after a shard only if no other has anything
        left to do; else they are as they were.
    groups_waiting
        Groups of other shards that no ledger holds yet.
    figures
        The heatmaps, in the order of the groups; empty where matplotlib is missing.
    groups_computed, groups_reused
        Groups that went through the pass now, and groups whose validated values were in the
        ledger; of a shard's groups alone.
    failed
        Group -> why it has no values. Only in the result that a `FailedGroupsError` carries.
    representations, comparisons
        How many there are in the plan of the whole sweep.
    undefined
        Number of comparisons without a value (NaN, with the reason in ``results.csv``).
    dropped
        Reason -> count of what the plan left out.
    notes
        What a person should know: recomputed groups, undefined similarities, missing figures,
        replaced results, steps that are equal.
    seconds
        The whole of it, by the wall clock.
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
        """Return it for JSON."""
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
