"""The contestants of one workload on a GPU: fastcka's passes and calls, and torch's ways.

Each answer is checked against float64 before its time counts.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import torch

import fastcka
from benchmarks import data
from benchmarks.by_fastcka import comparisons
from benchmarks.clock import repeated, stage_seconds, timed, wall_seconds
from benchmarks.gpu.part import Part
from benchmarks.gpu.resident import ResidentPass, planned
from benchmarks.gpu.store import from_store
from benchmarks.rates import product_rate
from benchmarks.reference import Exact, checked_positions
from fastcka.core import plan_pass

#: A pass that is predicted to take more seconds is not run, nor torch's way that takes a third.
LONGEST = 10.0
#: A loop over more pairs is timed on a part; the others would take as long each.
PAIRS = 300
RESIDENT_GROUPS = 4
#: A contestant with a larger error does not compute CKA, and its time means nothing.
WRONG = 0.02
#: Bytes of a group, at most, that is also measured from a store.
LARGEST_STORED = 1e9
#: Float64 flops of a reference, which the CPU computes.
MOST_FLOPS = 5e11


class GpuRace(Part):
    """The measurements of one workload, the most important first."""

    def __init__(self, workload, record, *, device="cuda", until=float("inf")):
        super().__init__(record, device=device, until=until)
        torch.backends.cuda.matmul.allow_tf32 = False
        self.workload = workload
        m, n, d = workload.m, workload.n, workload.d
        self.xs = data.on_device(m, n, d, device)
        positions = checked_positions(m, n, d, MOST_FLOPS)
        self.exact = Exact([self.xs[i].cpu().numpy() for i in positions], positions)

    def run(self):
        m, k = self.workload.m, len(self.exact.positions)
        self.record.put("workload", {"m": m, "n": self.workload.n, "d": self.workload.d})
        self.record.put("pairs_checked", k * (k + 1) // 2)
        contestants = self.workload.contestants()
        for products, precision in (("float16x3", "high"), ("float16", "fast")):
            self.measure(f"pass {products}", self.one_pass, products)
            self.measure(f"call {precision}", self.call, precision, self.xs)
        self.by_torch_where(contestants, lambda contestant: contestant.name.endswith("float16"))
        self.measure("host", self.host)
        self.measure("cpu", self.on_cpu)
        self.measure("groups", self.groups)
        for products in ("float32", "float64"):
            self.measure(f"pass {products}", self.one_pass, products)
        self.measure("call float64", self.call, "float64", self.xs)
        self.by_torch_where(contestants, lambda contestant: contestant.name.endswith("float32"))
        self.by_torch_where(contestants, lambda contestant: not contestant.whole)
        self.measure("store", self.store)

    def by_torch_where(self, contestants, holds):
        for contestant in filter(holds, contestants):
            self.measure(contestant.name, self.by_torch, contestant)

    def one_pass(self, products):
        """The compiled pass alone, and the rate of cuBLAS at the shape of its products."""
        plan = planned(self.workload, products)
        planned_seconds = plan.seconds - plan.transfer_seconds
        if planned_seconds > LONGEST:
            return {"skipped": f"{planned_seconds:.0f} s are predicted"}
        measured = self.timed_pass(plan) | {"planned_seconds": planned_seconds}
        self.release()
        rate = product_rate(plan, self.device)
        predicted = self.workload.predicted.get(products)
        return measured | {
            "cublas": rate,
            "share_of_cublas": plan.flops / measured["median"] / rate["flops_per_second"],
            "predicted_seconds": predicted,
            "times_predicted": predicted and measured["median"] / predicted,
        }

    def timed_pass(self, plan):
        resident = ResidentPass(plan, self.xs)
        stages = []

        def run():
            stages.append(stage_seconds((resident.prepare, resident.sums), self.device))
            return sum(stages[-1])

        samples = repeated(run)
        prepare, sums = zip(*stages[-samples["samples"] :], strict=True)
        return {
            "median": samples["median"],
            "seconds": samples,
            "prepare_seconds": statistics.median(prepare),
            "sums_seconds": statistics.median(sums),
            "errors": self.errors(**resident.result()),
            "route": plan.route,
            "tile": plan.tile,
            "flops": plan.flops,
            "bytes": plan.bytes_centered + plan.bytes_workspace + plan.bytes_results,
        }

    def call(self, precision, xs, device="cuda", **sampling):
        """`fastcka.compare` from Python."""
        latest = []

        def compare():
            latest[:] = [fastcka.compare(xs, device=device, precision=precision)]

        samples = repeated(lambda: wall_seconds(compare, self.device), **sampling)
        provenance = latest[0].provenance
        names = ("device", "route", "products", "tile", "implementation", "overrides")
        return {
            "median": samples["median"],
            "seconds": samples,
            "errors": self.errors_in(latest[0]),
            "ran": {name: provenance[name] for name in names if name in provenance},
        }

    def groups(self):
        """Seconds per group, for several in one call, all on the GPU."""

        def compare():
            _, seconds = timed(lambda: list(comparisons([self.xs] * RESIDENT_GROUPS, "cuda")))
            return seconds / RESIDENT_GROUPS

        samples = repeated(compare)
        return {"median": samples["median"], "groups": RESIDENT_GROUPS, "seconds": samples}

    def host(self):
        """The call on arrays in the host's memory, which includes their copy to the GPU."""
        measured = self.call("high", [x.cpu().numpy() for x in self.xs])
        return measured | {"bytes_per_second": self.workload.bytes / measured["median"]}

    def on_cpu(self):
        """The call on the CPU, by all its threads; with one, what is predicted."""
        m, n, d = self.workload.m, self.workload.n, self.workload.d
        every, one = (plan_pass(n, [d] * m, threads=count) for count in (None, 1))
        if every.seconds > LONGEST:
            return {"skipped": f"{every.seconds:.0f} s are predicted"}
        arrays = [x.cpu().numpy() for x in self.xs]
        measured = self.call("high", arrays, device="cpu", warmup=1, least=2)
        return measured | {
            "threads": every.threads,
            "predicted_seconds": every.seconds,
            "predicted_seconds_of_one_thread": one.seconds,
        }

    def by_torch(self, contestant):
        """A contestant on all representations, or a loop over pairs on a part of them."""
        if contestant.limit is not None:
            route, flops_per_second = contestant.limit
            least = self.workload.flops(route) / flops_per_second
            if least > LONGEST / 3:
                return {"skipped": f"{least:.0f} s at least"}
        growth, m = contestant.growth, len(self.xs)
        while not contestant.whole and growth(m) > max(growth(2), PAIRS):
            m -= 1
        part, call = self.xs[:m], contestant.all_pairs()
        error = self.exact.error(call(part), contestant.estimator)
        errors = checked({contestant.estimator: error}, contestant.tolerance)
        samples = repeated(
            lambda: wall_seconds(lambda: call(part), self.device),
            warmup=3 if contestant.whole else 1,
            least=5 if contestant.whole else 3,
        )
        measured = {"median": samples["median"], "seconds": samples, "errors": errors}
        if contestant.whole:
            return measured
        return measured | {
            "median": samples["median"] * growth(len(self.xs)) / growth(m),
            "pairs": int(growth(len(self.xs))),
            "pairs_timed": int(growth(m)),
            "extrapolated": m < len(self.xs),
        }

    def store(self):
        """Groups from a store."""
        if self.workload.bytes > LARGEST_STORED:
            return {"skipped": "the parts `store` and `sweep` read larger ones"}
        seconds = min(self.until - time.monotonic(), 120.0) / 2
        return from_store(self.workload, self.xs, self.errors_in, seconds=seconds)

    def errors_in(self, comparison):
        return self.errors(comparison.biased, comparison.unbiased, comparison.hsic_biased)

    def errors(self, biased, unbiased, hsic_biased):
        """Largest errors of CKA, and the mean one of each representation's HSIC with itself."""
        positions = self.exact.positions
        exact = np.diag(self.exact.hsic("biased"))
        return checked(
            {
                "biased": self.exact.error(biased, "biased"),
                "unbiased": self.exact.error(unbiased, "unbiased"),
                "relative_self_hsic": float(np.mean(np.diag(hsic_biased)[positions] / exact) - 1),
            }
        )


def checked(errors, most=WRONG):
    """The errors; an exception if they are more than rounding errors."""
    if not all(abs(error) <= most for error in errors.values()):
        raise AssertionError(f"the answer is wrong: {errors}")
    return errors
