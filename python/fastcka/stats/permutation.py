"""Permutation test of model labels (QAP, Mantel test).

The similarities are fixed; the labels are permuted over the models. Two pairs that share a model
therefore share it in every permutation. An effect of one model on all its pairs is also part of
every permuted difference.

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

_BATCH = 1_000_000
"""Weights computed at a time: 8 MB."""


@dataclass(frozen=True, slots=True)
class PermutationTest:
    """The outcome of a permutation test.

    Attributes
    ----------
    p
        Two-sided p-value: the share of labellings whose difference is at least as far from the mean
        difference as the observed one. The observed labelling is counted (Phipson and Smyth 2010).
        NaN if there is only one labelling.
    permutations
        Number of relabellings: all that exist if ``exact``, else the number drawn. 0 if there is
        only one labelling.
    exact
        Whether all relabellings were used.
    smallest_p
        The smallest p-value that these relabellings can give. If two labellings split the pairs in
        the same way (two variants that swap names, say), they always have the same difference, so
        n relabellings may give no p-value as small as 1/n.
    """

    p: float
    permutations: int
    exact: bool
    smallest_p: float


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
    """Permute the labels of models within classes.

    Parameters
    ----------
    values
        (P,) one value per pair of models.
    ends
        (2, P) positions of the two models of each pair.
    labels
        (M,) label of each model, 0 to K - 1.
    contrast
        (K, K) weight of a pair, given the labels of its models. The statistic is the weighted sum.
    classes
        (M,) class of each model; labels move only within a class (see `exchangeable_classes`).
    permutations
        Number of random relabellings. If at most this many exist, all are used instead.
    rng
        Source of randomness.
    """
    observed_weights = contrast[labels[ends[0]], labels[ends[1]]]
    observed = float(observed_weights @ values)
    members = [np.flatnonzero(classes == name) for name in np.unique(classes)]
    existing = math.prod(_arrangements(labels[models]) for models in members)
    if existing == 1:
        return PermutationTest(math.nan, 0, exact=True, smallest_p=1.0)
    exact = existing <= permutations
    if exact:
        drawn = np.array(list(_all_labellings(labels, members)), np.int64)
    else:
        drawn = np.tile(labels, (permutations, 1))
        for models in members:
            drawn[:, models] = rng.permuted(drawn[:, models], axis=1)
    differences, equal = [], 0
    rows = max(1, _BATCH // len(values))
    for batch in np.array_split(drawn, math.ceil(len(drawn) / rows)):
        weights = contrast[batch[:, ends[0]], batch[:, ends[1]]]
        differences.append(weights @ values)
        equal += int((weights == observed_weights).all(axis=1).sum())
    permuted = np.concatenate(differences)
    if not exact:  # the enumeration contains the observed labelling; a random sample may not
        permuted = np.append(permuted, observed)
        equal += 1
    center = float(permuted.mean())
    # The same sum in another order may differ in its last bits.
    slack = 1e-12 * max(1.0, float(np.abs(values).max()))
    extreme = np.abs(permuted - center) >= abs(observed - center) - slack
    return PermutationTest(float(extreme.mean()), len(drawn), exact, equal / len(permuted))


def exchangeable_classes(
    n_models: int, ends: NDArray[np.int64], within: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return (M,) classes of models that can exchange labels.

    A sweep rarely contains all pairs: `differ: [seed]` excludes pairs of one seed. With free
    permutations, some pairs of a permuted group would not have been measured, and the permuted
    difference would be noisier than the observed one. Two models are in one class if swapping them
    does not change the set of measured pairs. If all pairs were measured, all models are in one
    class. With `differ: [seed]`, a class is a seed. If families were not compared with each other,
    a class is a family. Permutations within classes keep the number of pairs of each kind, so the
    test is exact.

    Parameters
    ----------
    n_models
        M.
    ends
        (2, P) positions of the two models of each measured pair.
    within
        (M,) a further restriction: models in one class have equal values here.
    """
    measured = np.zeros((n_models, n_models), bool)
    measured[ends[0], ends[1]] = measured[ends[1], ends[0]] = True
    classes = np.full(n_models, -1, np.int64)
    founders: list[int] = []
    for model in range(n_models):
        for name, founder in enumerate(founders):
            # Exchangeability is transitive, so comparing with one member of a class is enough.
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
    choices = [list(_distinct(Counter(labels[models].tolist()))) for models in members]
    for choice in itertools.product(*choices):
        labelling = labels.copy()
        for models, arrangement in zip(members, choice, strict=True):
            labelling[models] = arrangement
        yield labelling


def _distinct(left: Counter[int]) -> Iterator[list[int]]:
    """Yield every distinct order of the labels; ``left`` counts how often each one occurs."""
    if not +left:
        yield []
        return
    for label in sorted(+left):
        left[label] -= 1
        for rest in _distinct(left):
            yield [label, *rest]
        left[label] += 1
