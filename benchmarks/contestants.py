"""The contestants: what is called, which estimator it gives, how its cost grows."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


def pairs(m):
    """For a loop over pairs."""
    return m * (m - 1) / 2


def pairs_and_selves(m):
    """For a loop over pairs that multiplies each representation with itself, too."""
    return m * (m + 1) / 2


def representations(m):
    """For work that each representation needs, if that for pairs is small; a lower bound."""
    return m


def constant(_):
    """For what does not depend on the number of representations."""
    return 1


def square(m):
    """For work that every ordered pair needs."""
    return m * m


@dataclass(frozen=True)
class Contestant:
    """One way to compute CKA of all pairs.

    Attributes
    ----------
    entry
        What is called, as the tables show it.
    call
        "module:function" in this package, so that a process imports no more than it needs.
    takes
        Whether the function takes a list of NumPy arrays or of torch tensors.
    growth
        Number of representations -> units of time; times of a part are extrapolated by it.
    memory_growth
        The same for memory.
    tolerance
        The largest error against float64 with which it is timed. Peers may sum in float32; an error
        above 1e-2 means that they compute something else.
    whole
        Whether it is never timed on a part.
    peer
        Whether it is installed in a separate folder.
    call_for_groups
        As `call`, but for many groups in one call.
    differs_from
        The name of a contestant. With the same bits as that one, it is not timed.
    limit
        A route, and roughly the most flops per second that a GPU reaches on it. The contestant is
        skipped where it would take too long even at that rate.
    """

    name: str
    package: str
    entry: str
    call: str
    estimator: Literal["biased", "unbiased"]
    takes: Literal["numpy", "torch"]
    growth: Callable[[int], float]
    memory_growth: Callable[[int], float]
    tolerance: float
    whole: bool = False
    peer: bool = False
    call_for_groups: str | None = None
    differs_from: str | None = None
    limit: tuple[Literal["F", "G"], float] | None = None

    def all_pairs(self):
        """The function of `call`."""
        return _function(self.call)

    def groups(self):
        """A function from a list of groups to a list of matrices."""
        call = self.all_pairs()
        if self.call_for_groups is None:
            return lambda groups: [call(xs) for xs in groups]
        many = _function(self.call_for_groups)
        return lambda groups: many(groups) if len(groups) > 1 else [call(groups[0])]


def _function(path):
    module, name = path.split(":")
    return getattr(importlib.import_module(f"benchmarks.{module}"), name)


def _baseline(name, call, entry, **changes):
    package = "torch" if call.startswith("by_torch") else "numpy"
    settings = {
        "estimator": "biased",
        "takes": package,
        "growth": representations,
        "memory_growth": representations,
        "tolerance": 1e-3,
    }
    return Contestant(name, package, entry, call, **(settings | changes))


def _fastcka(name, call, entry, tolerance, **changes):
    return Contestant(
        *(name, "fastcka", entry, call, "unbiased", "numpy"),
        growth=representations,
        memory_growth=representations,
        tolerance=tolerance,
        whole=True,
        **changes,
    )


def _peer(package, entry, takes, estimator="unbiased", growth=pairs, memory_growth=constant):
    call = f"by_peers:{package.replace('-', '_')}"
    return Contestant(
        *(package, package, entry, call, estimator, takes, growth, memory_growth),
        tolerance=1e-2,
        peer=True,
    )


def _on_gpu(name, call, entry, **changes):
    settings = {"tolerance": 2e-2, "whole": "growth" not in changes}
    return _baseline(f"torch {name}", f"by_torch:{call}", entry, **(settings | changes))


FASTCKA = _fastcka(
    *("fastcka", "by_fastcka:unbiased", "cka_matrix(xs)", 1e-6),
    call_for_groups="by_fastcka:groups_unbiased",
)
FASTCKA_FAST = _fastcka(
    *("fastcka, fast", "by_fastcka:unbiased_fast", 'cka_matrix(xs, precision="fast")', 1e-3),
    call_for_groups="by_fastcka:groups_fast",
    differs_from="fastcka",
)
TRIANGLE = _baseline("torch, tiles of the triangle", "by_torch:triangle_tiles", "bmm of row tiles")
BASELINES = (
    _baseline(
        *("NumPy, pair by pair", "by_numpy:pair_by_pair", "‖X'Y‖² of each pair"),
        growth=pairs_and_selves,
    ),
    _baseline("NumPy, cached Grams", "by_numpy:cached_grams", "XX' of each, then one product"),
    _baseline(
        *("NumPy, one product", "by_numpy:one_product", "[X..]'[X..], sums of blocks"),
        growth=square,
        memory_growth=square,
    ),
    _baseline(
        *("torch, pair by pair", "by_torch:pair_by_pair", "‖X'Y‖² of each pair"),
        growth=pairs_and_selves,
    ),
    _baseline("torch, cached Grams", "by_torch:cached_grams", "XX' of each, then one product"),
    _baseline(
        *("torch, cached Grams, bfloat16", "by_torch:cached_grams_bfloat16"),
        "XX' of each in bfloat16, then one product",
    ),
    _baseline(
        *("torch, one product", "by_torch:one_product", "[X..]'[X..], sums of blocks"),
        growth=square,
        memory_growth=square,
    ),
    TRIANGLE,
)
PEERS = (
    _peer("pytorch-cka", "cka_from_features(xs, xs)", "torch", "unbiased", *[representations] * 2),
    _peer("ckatorch", "cka_base(x, y, unbiased=True), each pair", "torch"),
    _peer(
        *("torch-cka", "CKA(...).compare, one batch of all", "torch", "unbiased", square),
        representations,
    ),
    _peer(
        *("cka-pytorch", "CKACalculator, one batch of all", "torch", "unbiased", square),
        representations,
    ),
    _peer(
        *("repsim", 'cka(xs, "linear", "gretton")', "numpy", "biased", square),
        representations,
    ),
    _peer(
        *("rsatoolbox", 'calc_rdm, compare(method="cosine_cov")', "numpy", "biased"),
        *[representations] * 2,
    ),
    _peer("hyppo", 'Hsic("linear", bias=True).statistic ** 2, each pair', "numpy", "biased"),
    _peer("thingsvision", 'get_cka("torch", unbiased=True).compare, each pair', "torch"),
)
ALL = (FASTCKA, FASTCKA_FAST, *BASELINES, *PEERS)
BY_NAME = {contestant.name: contestant for contestant in ALL}
#: torch's ways on a GPU; `gpu.race` adds fastcka's passes and calls.
ON_GPU = (
    _on_gpu("pair loop", "loop_over_pairs", "‖X'Y‖² / ‖X'X‖‖Y'Y‖ of each pair", growth=pairs),
    _on_gpu("product loop", "pair_by_pair", "‖X'Y‖² of each pair", growth=pairs_and_selves),
    *(
        _on_gpu(f"{name} {dtype}", f"{call}_{dtype}", entry, limit=(route, flops_per_second))
        for name, call, entry, route in (
            ("gram tiles", "gram_tiles", "bmm of tiles of the triangle", "G"),
            ("feature panels", "feature_panels", "mm of rows of X'X", "F"),
        )
        for dtype, flops_per_second in (("float16", 400e12), ("float32", 45e12))
    ),
)
