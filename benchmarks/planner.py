"""Plan sweeps of 10,000 to 1,000,000 pairs: seconds and memory, which must grow with the pairs.

The store is simulated: it has labels and shapes, and no data. Two layouts have about as many pairs:
groups of 45 models (one group for each layer and step), and one group of all representations.
Each plan runs in a separate process, and its counts are checked against the layout. The time is
that of `plan_sweep`, and of this with the texts and the summary that `fastcka plan --json` prints.
CPU is the processor time of both, for a machine with other work. Memory is the growth of the
process.

    python benchmarks/planner.py [--pairs 10000 100000 1000000] [--check]

With --check, the exit status is 1 if the largest plan takes more than 60 s or 2 GB.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # for a script, Python adds only its folder

from fastcka.store import Key, LayerInfo
from fastcka.sweep import SweepConfig, plan_sweep

MODELS = 45
PAIRS_OF_GROUP = MODELS * (MODELS - 1) // 2
MOST_SECONDS, MOST_BYTES = 60.0, 2e9
LAYOUTS = ("groups", "one group")


class SimulatedStore:
    """The labels and shapes of representations, as the planner reads them from a store."""

    def __init__(self, keys, *, n_examples=4413, n_features=256):
        self._keys = keys
        self._shape = n_examples, n_features

    def inventory(self):
        return self._keys, []

    def factors(self, model):
        number = int(model[1:])
        return {"variant": f"v{number // 3}", "seed": number % 3, "tasks": ["a", f"t{number % 7}"]}

    def info(self, key):
        n_examples, n_features = self._shape
        return LayerInfo(
            key=key,
            n_examples=n_examples,
            examples_digest="0" * 32,
            n_features=n_features,
            dtype="float32",
            digest=f"{hash(key) & (1 << 128) - 1:032x}",
            path=Path("simulated"),
            positional_ids=False,
        )


def layout(name, pairs):
    """Return the keys of a layout, the fields within, and the exact number of pairs."""
    if name == "groups":
        groups = max(1, pairs // PAIRS_OF_GROUP)
        keys = [
            Key(f"m{model:05d}", group // 4 * 1000, f"layer{group % 4}")
            for model in range(MODELS)
            for group in range(groups)
        ]
        return keys, ["layer", "step"], groups * PAIRS_OF_GROUP
    count = (1 + math.isqrt(1 + 8 * pairs)) // 2
    keys = [Key(f"m{model:05d}", 0, "layer0") for model in range(count)]
    return keys, [], count * (count - 1) // 2


def config_of(within):
    """Return the sweep of a layout, whose groups agree on the fields ``within``."""
    return SweepConfig.model_validate(
        {
            "store": "simulated",
            "output": "no-such-folder",
            "compare": {"within": within, "differ": ["model"]},
            "device": "cpu",
        }
    )


def measure(name, pairs):
    """Plan a layout in this process; return its size, seconds and bytes."""
    keys, within, expected = layout(name, pairs)
    config = config_of(within)
    store = SimulatedStore(keys)
    before = _peak_bytes()
    clock, cpu = time.perf_counter(), time.process_time()
    plan = plan_sweep(config, store, threads=1)
    planned = time.perf_counter() - clock
    plan.explain()
    json.dumps(plan.to_dict(), default=str)
    seconds, cpu = time.perf_counter() - clock, time.process_time() - cpu
    if plan.comparisons != expected:
        sys.exit(f"{name}: expected {expected:,} comparisons, the plan has {plan.comparisons:,}")
    return {
        "layout": name,
        "pairs": plan.comparisons,
        "representations": len(keys),
        "groups": len(plan.groups),
        "plan_seconds": planned,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "bytes": _peak_bytes() - before,
    }


def _peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def in_process(name, pairs):
    command = [sys.executable, __file__, "--one", name, "--pairs", str(pairs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--one", choices=LAYOUTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.pairs[0])))
        return
    print(f"{'layout':10s}{'pairs':>11s}{'repr.':>9s}{'groups':>8s}{'plan_sweep':>12s}", end="")
    print(f"{'with texts':>12s}{'CPU':>10s}{'memory':>10s}{'us/repr.':>10s}{'bytes/repr.':>12s}")
    worst = []
    for name in LAYOUTS:
        for pairs in options.pairs:
            row = in_process(name, pairs)
            worst.append(row["seconds"] > MOST_SECONDS or row["bytes"] > MOST_BYTES)
            print(
                f"{name:10s}{row['pairs']:11,}{row['representations']:9,}{row['groups']:8,}"
                f"{row['plan_seconds']:10.2f} s{row['seconds']:10.2f} s"
                f"{row['cpu_seconds']:8.2f} s{row['bytes'] / 1e6:7.0f} MB"
                f"{row['cpu_seconds'] / row['representations'] * 1e6:10.0f}"
                f"{row['bytes'] / row['representations']:12.0f}",
                flush=True,
            )
    if options.check and any(worst):
        sys.exit(f"a plan took more than {MOST_SECONDS:.0f} s or {MOST_BYTES / 1e9:.0f} GB")


if __name__ == "__main__":
    main()
