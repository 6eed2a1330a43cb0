"""Who takes part: what is called, which estimator it gives, how its cost grows."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


def pairs(m):
    """A loop over pairs."""
    return m * (m - 1) / 2


def representations(m):
    """Work for each representation, beside which that for pairs is small; a lower bound."""
    return m


def constant(_):
    """The same for any number of representations."""
    return 1


def square(m):
    """Work for every ordered pair."""
    return m * m


@dataclass(frozen=True)
class Contestant:
    """One way to compute CKA of all pairs.

    Attributes
    ----------
    call
        "module:function" in this package, so that a process imports no more than it needs.
    takes
        What the function gets: a list of NumPy arrays or of torch tensors.
    growth
        Number of representations -> units of time; what a part is extrapolated by.
    memory_growth
        The same for memory.
    tolerance
        A larger error against float64, and it is not timed. Peers sum in float32 as they like; from
        1e-2 on it is something else that they compute.
    whole
        It is never timed on a part.
    peer
        It lies in a folder of its own.
    call_for_groups
        As `call`, where many groups go through one call.
    differs_from
        Where it gives the same bits as the contestant of that name, it is not timed.
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

    def all_pairs(self):
        """The function of `call`."""
        return _function(self.call)

    def groups(self):
        """A function of a list of groups; it gives a list of matrices."""
        call = self.all_pairs()
        if self.call_for_groups is None:
            return lambda groups: [call(xs) for xs in groups]
        many = _function(self.call_for_groups)
        return lambda groups: many(groups) if len(groups) > 1 else [call(groups[0])]


def _function(path):
    module, name = path.split(":")
    return getattr(importlib.import_module(f"benchmarks.{module}"), name)


def _own(name, call, entry, **changes):
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


FASTCKA = _fastcka(
    *("fastcka", "by_fastcka:unbiased", "cka_matrix(xs)", 1e-6),
    call_for_groups="by_fastcka:groups_unbiased",
)
FASTCKA_FAST = _fastcka(
    *("fastcka, fast", "by_fastcka:unbiased_fast", 'cka_matrix(xs, precision="fast")', 1e-3),
    call_for_groups="by_fastcka:groups_fast",
    differs_from="fastcka",
)
TRIANGLE = _own("torch, tiles of the triangle", "by_torch:triangle_tiles", "bmm of row tiles")
OWN = (
    _own(
        *("NumPy, pair by pair", "by_numpy:pair_by_pair", "‖X'Y‖² of each pair"),
        growth=pairs,
        memory_growth=representations,
    ),
    _own("NumPy, cached Grams", "by_numpy:cached_grams", "XX' of each, then one product"),
    _own(
        *("NumPy, one product", "by_numpy:one_product", "[X..]'[X..], sums of blocks"),
        growth=square,
        memory_growth=square,
    ),
    _own(
        *("torch, pair by pair", "by_torch:pair_by_pair", "‖X'Y‖² of each pair"),
        growth=pairs,
        memory_growth=representations,
    ),
    _own("torch, cached Grams", "by_torch:cached_grams", "XX' of each, then one product"),
    _own(
        *("torch, cached Grams, bfloat16", "by_torch:cached_grams_bfloat16"),
        "XX' of each in bfloat16, then one product",
    ),
    _own(
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
ALL = (FASTCKA, FASTCKA_FAST, *OWN, *PEERS)
BY_NAME = {contestant.name: contestant for contestant in ALL}
