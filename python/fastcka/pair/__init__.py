"""Pairs of models at one layer: a configuration in YAML, and a folder of results.

::

    load_pair (CONFIG.yaml) -> run_pair:
        sources    the models: their steps, values and examples, from checkpoints or a store
        run        step by step: the examples of both, matched as in a sweep, and biased CKA in
                   float64, linear or with a Gaussian kernel (`fastcka.core`)
        results    cka_timeline.csv, summary.json, config.yaml, cka_timeline.png
        folder     writes all of them at once, or none

    plan_sweep (sweep.yaml) -> planned: the pairs of a sweep, each with its configuration
        export     ``export: pairs``: the same folders, from the values in the sweep's ledger
        emit       the configurations as files, and scripts that run them
"""

from __future__ import annotations

from fastcka.pair.config import PairConfig, PairSide, load_pair
from fastcka.pair.run import PairRun, run_pair

__all__ = ["PairConfig", "PairRun", "PairSide", "load_pair", "run_pair"]
