"""Results of statistics as text and as HTML."""

from __future__ import annotations

import numpy as np

from fastcka.stats import BlockMeans, PairComparison, PairGroup, PairTable, model_matrix


def table(models):
    names = [f"m<{i}>" for i in range(models)]
    a, b = np.triu_indices(models, 1)
    columns = {f"model_{side}": [names[i] for i in rows] for side, rows in (("a", a), ("b", b))}
    columns |= {f"{key}_{side}": ["0"] * len(a) for key in ("step", "layer") for side in "ab"}
    return PairTable.from_columns({**columns, "cka": (a + b) / 100, "n_examples": [20] * len(a)})


def test_a_table_of_pairs_prints_at_most_30_rows():
    lines = repr(table(10)).splitlines()
    assert lines[0] == "PairTable: 45 pairs, fields model, step, layer"
    assert lines[1].split() == [
        *("model_a", "step_a", "layer_a", "model_b", "step_b", "layer_b", "cka", "n_examples"),
    ]
    assert lines[2].split() == ["m<0>", "0", "0", "m<1>", "0", "0", "0.0100", "20"]
    assert len(lines) == 2 + 30 + 1
    assert lines[-1] == "and 15 more"
    assert "more" not in repr(table(3))
    html = table(10)._repr_html_()
    assert html.count("<tr>") == 31
    assert "m&lt;0&gt;" in html
    assert "<p>and 15 more</p>" in html


def test_a_matrix_of_models():
    lines = repr(model_matrix(table(3))).splitlines()
    assert lines[0] == "ModelMatrix: 3 models, 3 pairs with a value"
    assert [line.split() for line in lines[2:]] == [
        ["m<0>", "m<1>", "0.0100"],
        ["m<0>", "m<2>", "0.0200"],
        ["m<1>", "m<2>", "0.0300"],
    ]


def test_means_of_blocks():
    mean = np.array([[0.5, 0.25], [0.25, np.nan]])
    n = np.array([[3, 4], [4, 0]])
    means = BlockMeans("variant", ("a", "b"), mean, mean / 10, n, {})
    assert [line.split() for line in repr(means).splitlines()] == [
        ["BlockMeans", "by", "variant:", "7", "pairs"],
        ["variant_a", "variant_b", "mean", "sem", "n"],
        ["a", "a", "0.5000", "0.0500", "3"],
        ["a", "b", "0.2500", "0.0250", "4"],
        ["b", "b", "nan", "nan", "0"],
    ]


def test_a_comparison_of_pairs():
    groups = PairGroup("same variant", 0.5, 6, 4), PairGroup("others", 0.25, 9, 6)
    compared = PairComparison(
        *groups, 0.25, 0.1, 0.4, 0.95, 0.02, 6, 15, 99, False, 1000, 0.01, ("a note",)
    )
    lines = repr(compared).splitlines()
    assert lines[0] == (
        "PairComparison: difference 0.2500, 95% interval 0.1000 to 0.4000, p = 0.02 "
        "(99 relabellings)"
    )
    assert lines[1] == "a note"
    assert lines[3].split() == ["same", "variant", "0.5000", "6", "4"]
