"""One case on the GPU: fastcka's pass and calls, their errors, cuBLAS' rate, torch's ways.

A process of its own, which `gpu_check.py` starts, so that a device error ends with it. What has
been measured is on disk at once.

    python -m benchmarks.gpu.benchmark --case A --into FILE [--seconds 100]
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time

import numpy as np
import torch

import fastcka
from benchmarks.gpu.cases import CASES, by_definition, checked_positions, representations
from benchmarks.gpu.clock import repeated, stage_seconds, wall_seconds
from benchmarks.gpu.peers import centered, feature_panels, gram_tiles, pair_loop, product_loop
from benchmarks.gpu.rates import FACTORS, device_rates, product_rate
from benchmarks.gpu.record import Record
from benchmarks.gpu.resident import ResidentPass, errors, planned
from benchmarks.gpu.store import from_store
from fastcka.core import Comparison, compare_many

#: Nothing that is predicted to take longer is run.
LONGEST = 10.0
#: Pairs of a loop that are timed; the rest would take as long each.
PAIRS = 300
STORED_GROUPS = 2
RESIDENT_GROUPS = 4
#: Beyond it a contestant did not compute CKA, and its time means nothing.
WRONG = 0.02


class CaseRun:
    """The measurements of one case, in the order of their importance."""

    def __init__(self, case, record, *, device="cuda", until=float("inf")):
        self.case = case
        self.record = record
        self.device = device
        self.until = until
        self.xs = representations(case, device)
        self.positions = checked_positions(case)
        self.exact = by_definition([self.xs[i] for i in self.positions])

    def run(self):
        self.record.put("case", {"m": self.case.m, "n": self.case.n, "d": self.case.d})
        self.record.put("pairs_checked", len(self.positions) * (len(self.positions) + 1) // 2)
        for products in FACTORS:
            self.measure(f"pass {products}", lambda products=products: self.one_pass(products))
        for precision in ("high", "fast"):
            self.measure(f"call {precision}", lambda precision=precision: self.call(precision))
        self.measure("torch pair loop", self.pair_loop)
        self.measure("torch product loop", self.product_loop)
        self.measure("groups", self.groups)
        self.measure("host", self.host)
        for name, way in (("gram tiles", gram_tiles), ("feature panels", feature_panels)):
            for dtype in (torch.float16, torch.float32):
                what = f"torch {name} {str(dtype).removeprefix('torch.')}"
                self.measure(what, lambda way=way, dtype=dtype: self.batched(way, dtype))
        self.measure("store", self.store)
        self.measure("call float64", lambda: self.call("float64"))

    def measure(self, name, call):
        left = self.until - time.monotonic()
        if left < 0:
            self.record.put(name, {"skipped": "the time for this case is over"})
        else:
            self.record.measure(name, call)
        self.release()

    def release(self):
        """Give memory back that torch or cupy keeps, so that the other can have it."""
        if torch.device(self.device).type == "cuda":
            import cupy

            torch.cuda.empty_cache()
            cupy.get_default_memory_pool().free_all_blocks()

    def one_pass(self, products):
        plan = planned(self.case, products)
        if plan.seconds - plan.transfer_seconds > LONGEST:
            return {"skipped": f"{plan.seconds - plan.transfer_seconds:.0f} s are predicted"}
        found = self.timed_pass(plan)
        self.release()
        rate = product_rate(plan, self.device)
        predicted = self.case.predicted.get(products)
        return found | {
            "cublas": rate,
            "share_of_cublas": plan.flops / found["median"] / rate["flops_per_second"],
            "predicted_seconds": predicted,
            "times_predicted": predicted and found["median"] / predicted,
        }

    def timed_pass(self, plan):
        work = ResidentPass(plan, self.xs)
        samples = []

        def run():
            samples.append(stage_seconds((work.prepare, work.sums), self.device))
            return sum(samples[-1])

        taken = repeated(run)
        prepare, sums = zip(*samples[-taken["samples"] :], strict=True)
        return {
            "median": taken["median"],
            "seconds": taken,
            "prepare_seconds": statistics.median(prepare),
            "sums_seconds": statistics.median(sums),
            "planned_seconds": plan.seconds - plan.transfer_seconds,
            "errors": checked(errors(work.result(), self.exact, self.positions)),
            "route": plan.route,
            "tile": plan.tile,
            "flops": plan.flops,
            "bytes": plan.bytes_centered + plan.bytes_workspace + plan.bytes_results,
        }

    def call(self, precision, xs=None):
        xs = self.xs if xs is None else xs
        last: list[Comparison] = []

        def compare():
            last[:] = [fastcka.compare(xs, device="cuda", precision=precision)]

        taken = repeated(lambda: wall_seconds(compare, self.device))
        told = last[0].provenance
        names = ("device", "route", "products", "tile", "implementation", "overrides")
        return {
            "median": taken["median"],
            "seconds": taken,
            "errors": checked(self.errors_of(last[0])),
            "ran": {name: told[name] for name in names},
        }

    def groups(self):
        """Seconds a group, of several in one call, all on the GPU."""

        def compare():
            start = time.perf_counter()
            for _ in compare_many([self.xs] * RESIDENT_GROUPS, device="cuda"):
                pass
            return (time.perf_counter() - start) / RESIDENT_GROUPS

        taken = repeated(compare)
        return {"median": taken["median"], "groups": RESIDENT_GROUPS, "seconds": taken}

    def host(self):
        """The call on arrays in the memory of the host, which are copied there."""
        found = self.call("high", [x.cpu().numpy() for x in self.xs])
        return found | {"bytes_per_second": self.case.bytes / found["median"]}

    def errors_of(self, comparison):
        found = {name: getattr(comparison, name) for name in ("biased", "unbiased", "hsic_biased")}
        return errors(found, self.exact, self.positions)

    def pair_loop(self):
        pairs = [(i, j) for i in range(self.case.m) for j in range(i + 1, self.case.m)]
        some = sample(pairs)
        found = pair_loop(self.xs, [(i, j) for i in self.positions[:3] for j in self.positions[:3]])
        wrong = np.abs(np.array(found) - self.exact["biased"][:3, :3].ravel()[: len(found)]).max()
        taken = repeated(
            lambda: wall_seconds(lambda: pair_loop(self.xs, some), self.device), warmup=1, least=3
        )
        return extrapolated(taken, 0.0, len(some), len(pairs), checked({"biased": float(wrong)}))

    def product_loop(self):
        pairs = [(i, j) for i in range(self.case.m) for j in range(i, self.case.m)]
        some = sample(pairs)
        before = repeated(lambda: wall_seconds(lambda: centered(self.xs), self.device), share=0.3)
        ys = centered(self.xs)
        taken = repeated(
            lambda: wall_seconds(lambda: product_loop(ys, some), self.device), warmup=1, least=3
        )
        return extrapolated(taken, before["median"], len(some), len(pairs), None)

    def batched(self, way, dtype):
        # A multiple of what cuBLAS can at best, so that nothing promising is left out.
        rate = 45e12 if dtype == torch.float32 else 400e12
        plan = planned(self.case, "float32")
        flops = plan.flops_gram if way is gram_tiles else plan.flops_features
        if flops / rate > LONGEST / 3:
            return {"skipped": f"{flops / rate:.0f} s at the least"}
        found = way(self.xs, dtype=dtype)[np.ix_(self.positions, self.positions)]
        error = float(np.abs(found - self.exact["biased"]).max())
        taken = repeated(lambda: wall_seconds(lambda: way(self.xs, dtype=dtype), self.device))
        return {
            "median": taken["median"],
            "seconds": taken,
            "errors": checked({"biased": error}),
        }

    def store(self):
        left = self.until - time.monotonic()
        return from_store(
            self.case, self.xs, self.errors_of, groups=STORED_GROUPS, seconds=min(left, 120.0) / 2
        )


def sample(pairs):
    """All pairs, or so many at random."""
    return random.Random(0).sample(pairs, min(PAIRS, len(pairs)))


def extrapolated(taken, before, timed, pairs, found):
    """Seconds for all pairs from those of the timed ones, and the seconds before the loop."""
    return {
        "median": before + taken["median"] * pairs / timed,
        "pairs": pairs,
        "pairs_timed": timed,
        "extrapolated": timed < pairs,
        "seconds_timed": taken,
        "seconds_before": before,
        "errors": found,
    }


def checked(found):
    """The errors, or an exception where they are no rounding errors."""
    worst = max(value for name, value in found.items() if name != "relative_self_hsic")
    if not worst <= WRONG:
        raise AssertionError(f"the answer is wrong: {found}")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=("rates", *CASES), required=True)
    parser.add_argument("--into", required=True, help="the file for the measurements, JSON")
    parser.add_argument("--seconds", type=float, default=100.0, help="nothing is begun after them")
    options = parser.parse_args()
    until = time.monotonic() + options.seconds
    torch.backends.cuda.matmul.allow_tf32 = False
    record = Record(options.into)
    if options.case == "rates":
        record.measure("device", lambda: device_rates("cuda"))
    else:
        CaseRun(CASES[options.case], record, until=until).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
