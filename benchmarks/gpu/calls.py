"""Python's share of a call, and many small groups."""

from __future__ import annotations

import fastcka
from benchmarks import data
from benchmarks.by_fastcka import comparisons
from benchmarks.clock import repeated, stage_seconds, wall_seconds
from benchmarks.gpu.resident import ResidentPass, planned
from benchmarks.workloads import Workload


def measure_calls(part, sizes):
    """Put the time of a call on arrays on the GPU, and what of it the pass does not take."""
    for m, n, d in sizes.calls:
        xs = data.on_device(m, n, d, part.device)
        part.measure(f"M={m}", _share_of_python, part, xs)
        del xs


def _share_of_python(part, xs):
    m, (n, d) = len(xs), xs[0].shape
    products = []

    def compare():
        products[:] = [fastcka.compare(xs, device="cuda").provenance["products"]]

    calls = repeated(lambda: wall_seconds(compare, part.device), most=200)
    plan = planned(Workload("call", "A call", m, n, d), products[0])
    resident = ResidentPass(plan, xs)
    stages = resident.prepare, resident.sums
    passes = repeated(lambda: sum(stage_seconds(stages, part.device)), most=200)
    return {
        "median": calls["median"],
        "seconds": calls,
        "pass_seconds": passes,
        "python_seconds": calls["median"] - passes["median"],
        "shape": [m, n, d],
        "products": products[0],
    }


def measure_groups(part, sizes):
    """Put the time of many small groups in one call: on the GPU, from the host, and on the CPU."""
    small = sizes.small
    host = [list(data.representations(small.m, small.n, small.d, seed=i)) for i in range(8)]
    host = [host[i % len(host)] for i in range(small.groups)]
    for device in ("cuda", "cpu"):
        part.measure(f"host {device}", _groups, part, host, device)
    if part.device != "cpu":
        import torch

        resident = [[torch.from_numpy(x).to(part.device) for x in group] for group in host]
        part.measure("resident cuda", _groups, part, resident, "cuda")


def _groups(part, groups, device):
    samples = repeated(
        lambda: wall_seconds(lambda: list(comparisons(groups, device)), part.device), least=3
    )
    return {
        "median": samples["median"],
        "seconds": samples,
        "groups": len(groups),
        "seconds_per_group": samples["median"] / len(groups),
    }
