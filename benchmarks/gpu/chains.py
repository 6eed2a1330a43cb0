"""Errors and times for each length of the sums on tensor cores, at the shapes of the workloads,
and for the kernel that multiplies and goes on with the products ("fused").

Tensor cores truncate every step of a sum, so that errors grow with its length.
"""

from __future__ import annotations

from dataclasses import replace

from benchmarks.gpu.race import GpuRace
from benchmarks.gpu.resident import planned, with_sums_of

#: With tensor cores, then without for comparison.
PRODUCTS = ("float16x3", "float16")
BESIDE = ("float32", "float64")


def measure_chains(part, sizes):
    """Put a pass for each workload, products and length of a sum, the fused ones first."""
    for name in sizes.chained:
        race = GpuRace(sizes.workloads[name], part.record, device=part.device, until=part.until)
        for products in PRODUCTS:
            part.measure(f"{name} {products} fused", _pass, race, products, None, "fused")
            for length in sizes.chains:
                part.measure(f"{name} {products} {length}", _pass, race, products, length)
        for products in BESIDE:
            part.measure(f"{name} {products}", _pass, race, products, None)
        del race
        part.release()


def _pass(race, products, length, tiles="cuBLAS"):
    plan = replace(planned(race.workload, products), tiles=tiles)
    if length is not None:
        plan = with_sums_of(plan, length)
    measured = race.timed_pass(plan)
    return measured | {"chunk": plan.chunk, "rank_chunk": plan.rank_chunk}
