"""Sweeps: plan which representations are compared, compute them in groups, resume after a stop.

A sweep has three steps. Each can be used alone::

    load_sweep (sweep.yaml) -> plan_sweep (labels, groups, pairs; no values are read) -> run_sweep:
        for the groups that no ledger holds:  store --read ahead--> one pass --commit--> ledger
            (small groups go together, in flights; reading, computing and committing overlap)
        then, from the ledger alone:          results.csv, matrices/, figures/, run.json

A shard computes its groups into a separate ledger. The shard that finishes last, or a run without a
shard, merges the ledgers and writes the results.
"""

from __future__ import annotations

from fastcka.sweep.ledger.merging import comparisons_held
from fastcka.sweep.ledger.shards import Shard
from fastcka.sweep.planning.group import GroupPlan, Representation
from fastcka.sweep.planning.plan import SweepPlan, plan_sweep
from fastcka.sweep.question.config import CompareConfig, SweepConfig, load_sweep
from fastcka.sweep.results.result import SweepEvent, SweepResult
from fastcka.sweep.running.run import run_sweep

__all__ = [
    "CompareConfig",
    "GroupPlan",
    "Representation",
    "Shard",
    "SweepConfig",
    "SweepEvent",
    "SweepPlan",
    "SweepResult",
    "comparisons_held",
    "load_sweep",
    "plan_sweep",
    "run_sweep",
]
