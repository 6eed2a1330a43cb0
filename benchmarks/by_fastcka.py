"""fastcka's calls, from arrays; `sweep` has those from a store."""

from __future__ import annotations

import fastcka
from fastcka.core import backend, compare_many, plan_pass


def unbiased(xs):
    return fastcka.cka_matrix(xs, device="cpu")


def unbiased_fast(xs):
    return fastcka.cka_matrix(xs, device="cpu", precision="fast")


def groups_unbiased(groups, precision="high"):
    """CKA of each group, in one call for all."""
    return [result.unbiased for result in comparisons(groups, "cpu", precision)]


def groups_fast(groups):
    return groups_unbiased(groups, precision="fast")


def comparisons(groups, device, precision="high"):
    """The comparison of each group of an iterable, in one call for all."""
    flights = compare_many(groups, device=device, precision=precision)
    return (comparison for flight in flights for comparison in flight)


def implementations():
    """The names of the inner loops that can run here, the preferred first."""
    return backend.describe()["implementations"]


def plan(n, widths, threads, precision="high"):
    """The planner's choices for these shapes, as JSON values."""
    planned = plan_pass(n, widths, threads=threads, precision=precision).to_dict()
    del planned["n_features"]  # one number for each representation
    return planned
