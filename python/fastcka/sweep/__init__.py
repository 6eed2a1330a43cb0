"""Sweeps: which representations are compared, in which groups, computed once and resumed.

Three steps, each usable alone::

    load_sweep (sweep.yaml) -> plan_sweep (labels, groups, pairs; reads no data) -> run_sweep:
        for each group that the ledger lacks:  store --read ahead--> one pass --commit--> ledger
        then, from the ledger alone:           results.csv, matrices/, figures/, run.json
"""

from __future__ import annotations

from fastcka.sweep.config import CompareConfig, SweepConfig, load_sweep
from fastcka.sweep.group import GroupPlan, Representation
from fastcka.sweep.ledger import comparisons_held
from fastcka.sweep.plan import SweepPlan, plan_sweep
from fastcka.sweep.result import SweepEvent, SweepResult
from fastcka.sweep.run import run_sweep

__all__ = [
    "CompareConfig",
    "GroupPlan",
    "Representation",
    "SweepConfig",
    "SweepEvent",
    "SweepPlan",
    "SweepResult",
    "comparisons_held",
    "load_sweep",
    "plan_sweep",
    "run_sweep",
]
