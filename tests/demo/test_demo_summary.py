"""Grouping by label, on constructed pairs."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
from rich.console import Console

from fastcka.demo.figures import cka_matrix_at
from fastcka.demo.summary import (
    Mean,
    Pair,
    Place,
    accuracy_table,
    read_pairs,
    summarize,
)

A0, A4, B0 = Place("cnn", 0, 0), Place("cnn", 0, 4), Place("cnn", 1, 0)
M0 = Place("mlp", 0, 0)


def test_pairs_are_grouped_by_label_and_undefined_ones_left_out_of_n() -> None:
    pairs = [
        Pair(7, A0, B0, 0.25),
        Pair(7, B0, Place("cnn", 2, 0), 0.75),
        Pair(7, A0, Place("cnn", 2, 0), math.nan),
        Pair(7, A4, A0, 0.125),
        Pair(7, A4, B0, 0.5),
        Pair(7, A0, M0, 1.0),
        Pair(9, A0, B0, 0.875),
    ]
    rows = {row.title: row.means for row in summarize(pairs, [7, 9])}
    assert rows["two seeds, same layer"] == (Mean(7, 0.5, 2), Mean(9, 0.875, 1))
    assert rows["one network, first and last"][0] == Mean(7, 0.125, 1)
    assert rows["two seeds, first and last"][0] == Mean(7, 0.5, 1)
    assert rows["two families, same depth"][0] == Mean(7, 1.0, 1)
    nothing = rows["two families, same depth"][1]
    assert nothing.n == 0
    assert math.isnan(nothing.value)
    assert set(rows) == {
        "two seeds, same layer",
        "one network, first and last",
        "two seeds, first and last",
        "two families, same depth",
    }


def test_rows_of_the_table_get_their_places(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text(
        "cka,model_b,layer_b,step_b,model_a,layer_a,step_a\n"
        "0.5,n,conv1,3,m,conv1,3\n"
        "nan,n,conv1,3,m,logits,3\n"
    )
    places = {("m", "conv1"): A0, ("m", "logits"): A4, ("n", "conv1"): B0}
    first, second = read_pairs(path, places)
    assert first == Pair(3, A0, B0, 0.5)
    assert (second.a, second.b) == (A4, B0)
    assert math.isnan(second.cka)


def test_heatmap_orders_by_family_depth_and_seed_and_has_no_diagonal() -> None:
    pairs = [Pair(1, A0, B0, 0.1), Pair(1, A4, M0, 0.2), Pair(1, B0, A4, 0.3), Pair(2, A0, A4, 9.0)]
    places, matrix = cka_matrix_at(pairs, 1)
    assert places == [A0, B0, A4, M0]
    nan = math.nan
    expected = [
        [nan, 0.1, nan, nan],
        [0.1, nan, 0.3, nan],
        [nan, 0.3, nan, 0.2],
        [nan, nan, 0.2, nan],
    ]
    np.testing.assert_array_equal(matrix, expected)


def test_the_range_of_accuracies_has_one_decimal() -> None:
    accuracy = {("mlp", 0): {5: 0.9125}, ("mlp", 1): {5: 0.95}}
    console = Console(width=80, file=io.StringIO())
    with console.capture() as capture:
        console.print(accuracy_table(accuracy, 600))
    assert "93.1 (91.2-95.0)" in capture.get()
