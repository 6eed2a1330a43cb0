"""Which examples the jackknife leaves out together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcka.core.estimators import MIN_EXAMPLES
from fastcka.core.inference.blocks import members_of
from fastcka.core.subsets import Subsets
from fastcka.errors import InputError

#: With fewer, intervals are too short: of 95 % intervals from 2 blocks, a third held (simulated).
FEWEST_BLOCKS = 5
#: Seed of the random order in which examples and blocks are put into folds.
SEED = 0


def fold_count(n_examples: int, folds: int) -> int:
    """Return the number of folds of independent examples; 0 if there are too few examples."""
    return min(folds, n_examples) if n_examples > MIN_EXAMPLES["unbiased"] else 0


def make_folds(n_examples: int, *, folds: int = 20, blocks: Any = None) -> Subsets | None:
    """Return the subsets that leave out one fold each; None for fewer than 5 examples.

    Parameters
    ----------
    folds
        Number of folds: fewer if there are fewer examples or blocks.
    blocks
        (n_examples,) labels; examples with equal labels are in the same fold. None: the examples
        are put into folds at random, which differ in size by at most one.

    Raises
    ------
    InputError
        ``blocks`` has another shape, a missing label, or fewer than 5 different labels.
    """
    order = np.random.default_rng(SEED)
    if fold_count(n_examples, folds) == 0:
        return None
    if blocks is None:
        fold = order.permutation(np.arange(n_examples) % fold_count(n_examples, folds))
    else:
        block = _numbered(blocks, n_examples)
        sizes = np.bincount(block)
        load = np.zeros(min(folds, len(sizes)), np.int64)
        fold_of_block = np.empty(len(sizes), np.int64)
        shuffled = order.permutation(len(sizes))
        for each in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
            fold_of_block[each] = np.argmin(load)
            load[fold_of_block[each]] += sizes[each]
        fold = fold_of_block[block]
    return Subsets(fold.astype(np.int64), nested=False)


def _numbered(blocks: Any, n_examples: int) -> NDArray[np.int64]:
    """Return the number of the block of each example."""
    members = members_of(blocks, n_examples)
    if len(members) < FEWEST_BLOCKS:
        raise InputError(
            f"blocks: expected at least {FEWEST_BLOCKS} different labels, got {len(members)}: "
            "intervals from fewer blocks are too short; Inference(folds=0) computes none"
        )
    block = np.empty(n_examples, np.int64)
    for number, rows in enumerate(members):
        block[rows] = number
    return block
