"""The permutation of model labels (QAP, Mantel): is a difference more than relabelling makes?

The values stay where they are, between the models that they were measured between; the labels move
from model to model, as wholes. So pairs that share a model share it in every permutation, and
whatever makes one model alike or unlike all others is in every permuted difference as well.

Mantel 1967 (Cancer Research 27); Hubert and Schultz 1976; Krackhardt 1988 (Social Networks 10).
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_CHUNK = 1_000_000
"""Values gathered at a time: 8 MB."""


@dataclass(frozen=True, slots=True)
class PermutationTest:
    """The outcome.

    Attributes
    ----------
    p
        Two-sided: the share of labellings whose difference is at least as far from the mean of all
        of them as the observed one, which is counted among them (Phipson and Smyth 2010); NaN
        where the labels cannot be permuted.
    permutations
        How many relabellings were drawn, or how many there are where all were taken.
    exact
        Whether all were taken.
    """

    p: float
    permutations: int
    exact: bool


def permutation_test(
    values: NDArray[np.float64],
    ends: NDArray[np.int64],
    labels: NDArray[np.int64],
    contrast: NDArray[np.float64],
    classes: NDArray[np.int64],
    *,
    permutations: int,
    rng: np.random.Generator,
) -> PermutationTest:
    """Permute the labels of models among those of one class.

    Parameters
    ----------
    values
        (P,) one value a pair of models.
    ends
        (2, P) positions of the models of each pair.
    labels
        (M,) label of each model, 0 to K - 1.
    contrast
        (K, K) weight of a pair whose models have these labels; the statistic is the weighted sum.
    classes
        (M,) labels move only between models of one class (see `exchangeable_classes`).
    permutations
        How many to draw. Where there are no more different relabellings than this, all are taken.
    """

    def statistic(labellings: NDArray[np.int64]) -> NDArray[np.float64]:
        rows = max(1, _CHUNK // len(values))
        return np.concatenate(
            [
                contrast[part[:, ends[0]], part[:, ends[1]]] @ values
                for part in np.array_split(labellings, math.ceil(len(labellings) / rows))
            ]
        )

    observed = float(statistic(labels[None])[0])
    members = [np.flatnonzero(classes == name) for name in np.unique(classes)]
    existing = math.prod(_arrangements(labels[own]) for own in members)
    if existing == 1:
        return PermutationTest(math.nan, 0, exact=True)
    exact = existing <= permutations
    if exact:
        drawn = np.array(list(_all_labellings(labels, members)), np.int64)
    else:
        drawn = np.tile(labels, (permutations, 1))
        for own in members:
            drawn[:, own] = rng.permuted(drawn[:, own], axis=1)
    permuted = statistic(drawn)
    if not exact:  # enumeration meets the observed labelling; a random draw need not
        permuted = np.append(permuted, observed)
    center = float(permuted.mean())
    # The same sum in another order may differ in its last bits.
    slack = 1e-12 * max(1.0, float(np.abs(values).max()))
    extreme = np.abs(permuted - center) >= abs(observed - center) - slack
    return PermutationTest(float(extreme.mean()), len(drawn), exact)


def exchangeable_classes(
    n_models: int, ends: NDArray[np.int64], within: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return (M,) classes of models that may trade labels without changing which pairs exist.

    A sweep rarely holds all pairs: `differ: [seed]` leaves out those of one seed. If labels moved
    freely, a permuted labelling would lay its same-label pairs partly on pairs that were never
    measured, and would be noisier than the observed one. Two models are of one class if trading
    them leaves the set of measured pairs as it is: for all pairs, every model; under
    `differ: [seed]`, those of one seed; where families were never compared, those of one family.
    Any permutation within classes keeps the number of pairs of each kind, and the test exact.

    Parameters
    ----------
    n_models
        M.
    ends
        (2, P) positions of the models of each measured pair.
    within
        (M,) a further restriction: labels move only between models that agree here.
    """
    measured = np.zeros((n_models, n_models), bool)
    measured[ends[0], ends[1]] = measured[ends[1], ends[0]] = True
    classes = np.full(n_models, -1, np.int64)
    founders: list[int] = []
    for model in range(n_models):
        for name, founder in enumerate(founders):
            # Trading is transitive, so one member stands for its class.
            others = np.ones(n_models, bool)
            others[[model, founder]] = False
            if within[model] == within[founder] and np.array_equal(
                measured[model, others], measured[founder, others]
            ):
                classes[model] = name
                break
        else:
            classes[model] = len(founders)
            founders.append(model)
    return classes


def _arrangements(labels: NDArray[np.int64]) -> int:
    counts = Counter(labels.tolist()).values()
    return math.factorial(len(labels)) // math.prod(map(math.factorial, counts))


def _all_labellings(
    labels: NDArray[np.int64], members: list[NDArray[np.int64]]
) -> Iterator[NDArray[np.int64]]:
    choices = [list(_distinct(Counter(labels[own].tolist()))) for own in members]
    for choice in itertools.product(*choices):
        labelling = labels.copy()
        for own, arrangement in zip(members, choice, strict=True):
            labelling[own] = arrangement
        yield labelling


def _distinct(left: Counter[int]) -> Iterator[list[int]]:
    """Yield every different order of the labels in ``left``."""
    if not +left:
        yield []
        return
    for label in sorted(+left):
        left[label] -= 1
        for rest in _distinct(left):
            yield [label, *rest]
        left[label] += 1
