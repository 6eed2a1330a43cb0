"""Permutation tests within blocks of examples, and of whole blocks."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest

import fastcka
from fastcka.errors import InputError
from oracle import permuted_cka
from samples import related


def share_below(data_sets, **options):
    """Return the share of p-values up to 0.05."""
    p = [
        fastcka.permutation_test([x, y], n_permutations=99, threads=1, **options).p_value[0, 1]
        for x, y in data_sets
    ]
    return (np.array(p) <= 0.05).mean()


def test_blocks_prevent_false_positives(rng):
    # Tokens of one text resemble each other in both representations, which are independent.
    blocks = np.repeat(np.arange(12), 5)
    data_sets = [
        [2 * rng.standard_normal((12, 4))[blocks] + rng.standard_normal((60, 4)) for _ in range(2)]
        for _ in range(100)
    ]
    # The standard error of a share of 0.05 of 100 is 0.022.
    assert share_below(data_sets) > 0.9
    assert share_below(data_sets, blocks=blocks, exchange="whole") < 0.12
    assert share_below(data_sets, blocks=blocks, exchange="within") < 0.12


def test_labels_of_blocks_keep_their_types(rng):
    xs = related(rng, 6, [3, 4])
    options = {"exchange": "within", "n_permutations": 5}
    mixed = fastcka.permutation_test(xs, blocks=[1, "1", 1, "1", 2, 2], **options)
    assert mixed.n_blocks == 3
    columns = [pd.Series(list("aabbcc")), pd.Categorical(list("aabbcc")), np.repeat([1, 2, 3], 2)]
    for column in columns:
        assert fastcka.permutation_test(xs, blocks=column, **options).n_blocks == 3


@pytest.mark.parametrize(
    "blocks",
    [
        pd.Series(["a", "a", pd.NA, "b", "b", "b"], dtype="string"),
        pd.Categorical(["a", "a", None, "b", "b", "b"]),
        ["a", "a", float("nan"), "b", "b", "b"],
        np.array(["2020", "2020", "NaT", "2021", "2021", "2021"], "datetime64[ns]"),
        np.array(["2020", "2020", "NaT", "2021", "2021", "2021"], "datetime64[D]"),
        np.array([1, 1, np.nan, 2, 2, 2]),
    ],
    ids=["NA", "category", "NaN", "NaT", "day", "float"],
)
def test_missing_labels_of_blocks_are_refused(rng, blocks):
    message = r"expected a label for each example; got .* at example 2: leave such examples out"
    with pytest.raises(InputError, match=message):
        fastcka.permutation_test(related(rng, 6, [3, 4]), blocks=blocks, exchange="within")


def test_blocks_with_row_labels_are_matched_by_label(rng):
    x, y = (pd.DataFrame(z, index=list("pqrstu")) for z in related(rng, 6, [3, 4]))
    blocks = pd.Series(list("aabbcc"), index=x.index)
    options = {"exchange": "within", "n_permutations": 7}
    test = fastcka.permutation_test([x, y], blocks=blocks, **options)
    moved = fastcka.permutation_test([x, y], blocks=blocks[::-1], **options)
    np.testing.assert_array_equal(test.null, moved.null)
    with pytest.raises(InputError, match="and blocks has no labels"):
        fastcka.permutation_test([x, y[::-1]], blocks=list("aabbcc"), **options)


def test_blocks_keep_true_positives(rng):
    blocks = np.repeat(np.arange(12), 5)
    x = 2 * rng.standard_normal((12, 4))[blocks] + rng.standard_normal((60, 4))
    y = x @ rng.standard_normal((4, 4)) + rng.standard_normal((60, 4))
    for exchange in ("whole", "within"):
        test = fastcka.permutation_test([x, y], blocks=blocks, exchange=exchange)
        assert test.p_value[0, 1] == test.smallest_p == 1 / 1001


def test_examples_stay_in_their_block(rng):
    # The only signal is a difference between blocks: permuting inside them leaves it unchanged.
    blocks = np.array(list("bacbacbacbac"))
    shared = rng.standard_normal((3, 4))[np.unique(blocks, return_inverse=True)[1]]
    test = fastcka.permutation_test(
        [shared, 2 * shared], n_permutations=20, blocks=blocks, exchange="within"
    )
    np.testing.assert_allclose(test.null, test.observed[0, 1], atol=1e-12)
    assert test.p_value[0, 1] == 1
    assert test.n_distinct == 24**3
    assert test.n_blocks == 3


def test_every_exchange_of_whole_blocks(rng):
    xs = related(rng, 8, [3, 4])
    blocks = [2, 1, 0, 3, 2, 1, 0, 3]
    test = fastcka.permutation_test(xs, blocks=blocks, exchange="whole")
    rows = np.array([[0, 4], [1, 5], [2, 6], [3, 7]])
    orders = []
    for order in permutations(range(4)):
        moved = np.empty(8, int)
        moved[rows] = rows[list(order)]
        orders.append(moved)
    every = permuted_cka(xs, orders, "unbiased")[:, 0]
    assert test.exact
    assert test.n_permutations == 23
    assert test.smallest_p == 1 / 24
    both = np.append(test.null[:, 0], test.observed[0, 1])
    np.testing.assert_allclose(np.sort(both), np.sort(every), atol=1e-12)


def test_every_permutation_within_blocks(rng):
    xs = related(rng, 6, [3, 4])
    test = fastcka.permutation_test(xs, blocks=list("aabbbc"), exchange="within")
    orders = [
        np.array([*first, *second, 5])
        for first in permutations([0, 1])
        for second in permutations([2, 3, 4])
    ]
    every = permuted_cka(xs, orders, "unbiased")[:, 0]
    both = np.append(test.null[:, 0], test.observed[0, 1])
    assert len(both) == 12
    np.testing.assert_allclose(np.sort(both), np.sort(every), atol=1e-12)
