"""Means by label, against means by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fastcka.errors import InputError
from fastcka.stats import PairTable, block_means, timeline, trend


def code(a, b, *_):
    """Return a value that identifies the unordered pair."""
    return (sum(map(ord, a)) * sum(map(ord, b)) % 997) / 997


def test_block_means_of_an_irregular_grid(pair_table, irregular):
    result = block_means(pair_table(irregular, code), by="variant", cross="seed")
    assert result.labels == ("a", "b", "c")
    members = {
        "a": ["zeta", "m1", "m10"],
        "b": ["beta", "m3", "alpha"],
        "c": ["m9", "omega"],
    }
    for i, first in enumerate("abc"):
        for j, second in enumerate("abc"):
            pairs = {frozenset((x, y)) for x in members[first] for y in members[second] if x != y}
            values = [code(*pair) for pair in pairs]
            assert result.n[i, j] == len(values)
            assert result.mean[i, j] == pytest.approx(sum(values) / len(values), abs=1e-12)
            if len(values) > 1:
                sem = np.std(values, ddof=1) / len(values) ** 0.5
                assert result.sem[i, j] == pytest.approx(sem, abs=1e-12)
    assert result.n.tolist() == [[3, 9, 6], [9, 3, 6], [6, 6, 1]]
    assert np.isnan(result.sem[2, 2])  # one pair has no standard error


def test_strides_do_not_mix_variants(grid, pair_table):
    # With 3 seeds a variant, a stride of 2 would mix cells of two variants.
    table = pair_table(grid(7, 3), lambda a, b, *_: 0.9 if a[:3] == b[:3] else 0.1)
    mean = block_means(table).mean
    assert np.allclose(np.diag(mean), 0.9)
    assert np.allclose(mean[~np.eye(7, dtype=bool)], 0.1)


def test_means_do_not_depend_on_the_order_of_rows(columns, irregular, rng):
    rows = columns(irregular, code)
    order = rng.permutation(len(rows["cka"]))
    shuffled = {name: [column[row] for row in order] for name, column in rows.items()}
    one, other = (block_means(PairTable.from_columns(c)) for c in (rows, shuffled))
    assert one.labels == other.labels
    assert np.allclose(one.mean, other.mean, rtol=0, atol=1e-14)


def test_the_same_model_under_two_names_is_not_a_cross_seed_pair(pair_table):
    models = {
        "x": {"variant": "a", "seed": 0},
        "copy of x": {"variant": "a", "seed": 0},
        "y": {"variant": "a", "seed": 1},
    }
    table = pair_table(models, lambda a, b, *_: 1.0 if "x" in a and "x" in b else 0.3)
    result = block_means(table, by="variant", cross="seed")
    assert (result.mean[0, 0], result.n[0, 0]) == (pytest.approx(0.3), 2)
    assert result.left_out == {"within one variant, not between two values of 'seed'": 1}


def test_means_leave_out_self_pairs_and_undefined_pairs(columns, irregular):
    rows = columns(irregular, lambda *_: 0.5)
    for column in rows.values():
        column.append(column[0])
    for name in ("model", "step", "layer", "seed", "variant"):
        rows[f"{name}_b"][-1] = rows[f"{name}_a"][-1]
    rows["cka"][-1] = 1.0
    rows["cka"][0] = float("nan")
    result = block_means(PairTable.from_columns(rows))
    assert np.nanmax(result.mean) == 0.5
    assert result.left_out == {"of a model with itself": 1, "without a value": 1}


def test_the_trend_has_a_point_for_each_family_and_layer(grid, pair_table):
    table = pair_table(
        grid(2, 2, families=("f2", "f10")),
        lambda a, b, layer, _: (
            float(layer) / 10 + (a.startswith("f10") and b.startswith("f10")) / 2
        ),
        layers=("3", "4"),
    )
    points = trend(table)
    got = {(p.line, p.label): (round(p.mean, 12), p.n) for p in points}
    assert got == {
        ("3", "f2"): (0.3, 6),
        ("3", "f10"): (0.8, 6),
        ("4", "f2"): (0.4, 6),
        ("4", "f10"): (0.9, 6),
    }
    assert [p.label for p in points] == ["f2", "f10", "f2", "f10"]


def test_the_band_of_a_timeline_spans_the_combinations_of_seeds(grid, pair_table):
    by_seeds = {("0", "1"): 0.2, ("0", "2"): 0.4, ("1", "2"): 0.9}

    def value(a, b, _, step):
        both = tuple(sorted((a[-1], b[-1])))
        return by_seeds[both] * step / 100

    table = pair_table(grid(2, 3), value, steps=(100, 20), keep=lambda a, b: a["seed"] != b["seed"])
    first, last = timeline(table)
    assert (first.step, last.step) == (20, 100)
    assert (last.n, last.combinations) == (12, 3)
    assert (last.low, last.mean, last.high) == pytest.approx((0.2, 0.5, 0.9))
    assert first.mean == pytest.approx(0.1)


def test_a_timeline_leaves_out_pairs_of_two_steps(columns, irregular):
    rows = columns(irregular, lambda *_: 0.5)
    rows["step_a"][0] = 5
    (point,) = timeline(PairTable.from_columns(rows), seed=None)
    assert point.n == len(rows["cka"]) - 1
    assert np.isnan(point.low)


def test_a_step_that_is_no_number_is_refused(pair_table):
    models = {"x": {"seed": 1}, "y": {"seed": 2}}
    with pytest.raises(InputError, match="expected steps that are whole numbers, got 'final'"):
        timeline(pair_table(models, lambda *_: 0.5, steps=(0, "final")))
