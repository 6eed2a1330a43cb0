"""One pair of models at one layer: a configuration in YAML, and a folder of results.

::

    load_pair (CONFIG.yaml) -> run_pair:
        sides      what each model has: steps, values, examples; from a tree or a store
        align      the examples of both, by id, that the filter keeps
        similarity biased CKA in float64, step by step
        results    cka_timeline.csv, summary.json, config.yaml, cka_timeline.png
        folder     all of them at once, or none

A sweep with ``export: pairs`` writes the same folders from its ledger.
"""

from __future__ import annotations

from fastcka.pair.config import PairConfig, PairSide, load_pair
from fastcka.pair.run import PairRun, run_pair

__all__ = ["PairConfig", "PairRun", "PairSide", "load_pair", "run_pair"]
