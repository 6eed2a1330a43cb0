"""What a sweep tells while it runs, and when it has run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class SweepEvent:
    """Something that a person who waits for a sweep may want to be told.

    Attributes
    ----------
    kind
        ``planned``; ``reused`` and ``computed`` once a group; ``recomputing`` where the ledger's
        values of a group are damaged or of other data; ``undefined`` for a representation without
        a similarity; ``no_figures``; ``replaced`` where the results of another sweep stood.
    message
        It in words.
    group
        The name of the group, where it is about one.
    """

    kind: Literal[
        "planned", "reused", "computed", "recomputing", "undefined", "no_figures", "replaced"
    ]
    message: str
    group: str | None = None


@dataclass(frozen=True, slots=True)
class SweepResult:
    """What a sweep did and where its results lie.

    Attributes
    ----------
    output, results_path, ledger_path, run_path
        The folder, ``results.csv``, ``ledger.sqlite``, ``run.json``.
    figures
        The heatmaps, in the order of the groups; empty where matplotlib is missing.
    groups_computed, groups_reused
        Groups that went through the pass now, and groups whose validated values stood in the
        ledger.
    representations, comparisons
        How many there are in the plan.
    undefined
        Number of comparisons without a value (NaN, with the reason in ``results.csv``).
    dropped
        Reason -> count of what the plan left out.
    notes
        What a person should know: recomputed groups, undefined similarities, missing figures,
        replaced results.
    seconds
        The whole of it, by the wall clock.
    """

    output: Path
    results_path: Path
    ledger_path: Path
    run_path: Path
    figures: tuple[Path, ...]
    groups_computed: int
    groups_reused: int
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
            "groups_computed": self.groups_computed,
            "groups_reused": self.groups_reused,
            "representations": self.representations,
            "comparisons": self.comparisons,
            "undefined": self.undefined,
            "dropped": self.dropped,
            "notes": list(self.notes),
            "seconds": self.seconds,
        }
