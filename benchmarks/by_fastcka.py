"""fastcka's calls, from arrays; `sweep` has those from a store."""

from __future__ import annotations

import fastcka
from fastcka.core import compare_many, plan_pass


def unbiased(xs):
    return fastcka.cka_matrix(xs, device="cpu")


def unbiased_fast(xs):
    return fastcka.cka_matrix(xs, device="cpu", precision="fast")


def groups_unbiased(groups, precision="high"):
    """CKA of each group, in one call for all."""
    flights = compare_many(groups, device="cpu", precision=precision)
    return [result.unbiased for results in flights for result in results]


def groups_fast(groups):
    return groups_unbiased(groups, precision="fast")


def plan(n, widths, threads):
    """What the planner says of a pass over these shapes, as JSON values."""
    planned = plan_pass(n, widths, threads=threads).to_dict()
    del planned["n_features"]  # as many numbers as there are representations
    return planned
