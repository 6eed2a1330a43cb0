"""The table: labels by name, and refusals."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from fastcka.errors import InputError
from fastcka.stats import PairTable, model_matrix, ordered, read_results


def test_labels_are_in_natural_order():
    labels = ["10", "2", "pt10", "pt2", None, "orig", "0.5", "2"]
    assert ordered(labels) == ["0.5", "2", "10", "orig", "pt2", "pt10", None]
    assert ordered(["1", "orig", "2"], ["orig", "1"]) == ["orig", "1", "2"]


def test_a_csv_is_read_by_the_names_of_its_columns(tmp_path):
    (tmp_path / "results.csv").write_text(
        "cka,seconds,model_b,model_a,layer_a,layer_b,step_a,step_b,tasks_a,tasks_b,n_dropped\n"
        """0.25,1.5,y,'=x,3,3,10,20,"[""b"", ""a""]","[""a"", ""b""]",7\n"""
        'nan,1.5,y,z,3,3,10,20,,"[""a"", ""b""]",7\n',
        encoding="utf-8",
    )
    table = read_results(tmp_path)
    assert list(table.a["model"]) == ["=x", "z"]  # the guard against formulas is removed
    assert table.cka[0] == 0.25
    assert np.isnan(table.cka[1])
    assert list(table.same("tasks")) == [
        True,
        False,
    ]  # order does not matter; an absent list differs
    assert list(table.differ("tasks")) == [False, False]
    assert len(table.defined()) == 1
    assert table.fields == ["model", "step", "layer", "tasks"]


def test_1_and_1_0_are_one_label(pair_table):
    models = {"x": {"seed": 1}, "y": {"seed": 1.0}, "z": {"seed": np.int64(1)}}
    table = pair_table(models, lambda *_: 0.5)
    assert table.labels("seed") == ["1"]
    assert table.same("seed").all()


def test_lists_of_numpy_are_labels(pair_table):
    """pandas gives the lists of a Parquet column as arrays."""
    lists = {"x": [1, 2], "y": np.array([2, 1]), "z": [np.int64(1), np.int64(2)]}
    table = pair_table({name: {"tasks": tasks} for name, tasks in lists.items()}, lambda *_: 0.5)
    assert table.labels("tasks") == ["[1, 2]"]


def test_missing_values_of_pandas_are_absent(columns, irregular):
    """A column of pandas' own dtypes contains pandas.NA, which is neither None nor NaN."""
    models = {**irregular, "bare": {}}
    given = columns(models, lambda a, b, *_: None if a == "bare" else 0.5)
    expected = PairTable.from_columns(given)
    table = PairTable.from_columns(pd.DataFrame(given).convert_dtypes())
    assert pd.NA in set(pd.DataFrame(given).convert_dtypes()["variant_a"])
    for side in ("a", "b"):
        for name, labels in getattr(expected, side).items():
            assert list(getattr(table, side)[name]) == list(labels)
    np.testing.assert_array_equal(table.cka, expected.cka)


def test_lists_in_a_data_frame_from_a_csv(tmp_path, pair_table):
    """pandas reads the cell of a list as a text; equal sets of tasks are one label."""
    models = {"x": {"tasks": '["b", "a"]'}, "y": {"tasks": '["a","b"]'}, "z": {"tasks": ["a", "b"]}}
    table = pair_table({**models, "w": {"tasks": {"a", "b"}}}, lambda *_: 0.5)
    assert table.labels("tasks") == ['["a", "b"]']
    assert table.where(tasks='["b", "a"]').cka.tolist() == [0.5] * 6
    assert pair_table({"x": {"tasks": "[a"}, "y": {"tasks": "[b"}}, lambda *_: 0.5).labels(
        "tasks"
    ) == ["[a", "[b"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("model_a"), "column 'model_a' is missing"),
        (lambda c: c["cka"].pop(), "columns of equal length"),
        (lambda c: c["cka"].__setitem__(0, "much"), "column 'cka'"),
        (lambda c: c["estimator"].__setitem__(0, "biased"), "rows of one estimator"),
        (lambda c: c["model_a"].__setitem__(1, None), r"'model_a': .* none in 1 .* is row 1,"),
        (lambda c: c["seed_a"].__setitem__(0, object()), "column 'seed_a': expected labels that"),
        (lambda c: c["seed_a"].__setitem__(0, "9"), "one value of 'seed'"),
        (lambda c: [column.append(column[0]) for column in c.values()], "expected each pair once"),
    ],
)
def test_an_inconsistent_table_is_refused(columns, irregular, change, message):
    wrong = columns(irregular, lambda *_: 0.5)
    change(wrong)
    with pytest.raises(InputError, match=message):
        PairTable.from_columns(wrong)


def test_a_reversed_pair_is_a_duplicate(columns, irregular):
    wrong = columns(irregular, lambda *_: 0.5)
    for name, column in list(wrong.items()):
        other = {"a": "b", "b": "a"}.get(name[-1]) if name[-2] == "_" else None
        column.append(wrong[name if other is None else name[:-1] + other][0])
    with pytest.raises(InputError, match="expected each pair once"):
        PairTable.from_columns(wrong)


@pytest.mark.parametrize("text", ["", "model_a\n1,2\n", "not a table"])
def test_a_file_without_a_table_is_refused(tmp_path, text):
    (tmp_path / "results.csv").write_text(text)
    with pytest.raises(InputError, match=r"results\.csv"):
        read_results(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="missing"):
        read_results(tmp_path)


def test_a_misspelt_field_is_an_error_with_a_suggestion(pair_table, irregular):
    with pytest.raises(InputError, match="did you mean variant"):
        pair_table(irregular, lambda *_: 0.5).where(varient="a")


def test_a_matrix_is_sorted_by_labels(pair_table, irregular):
    values = {
        frozenset(pair): number / 100 for number, pair in enumerate(combinations(irregular, 2))
    }
    table = pair_table(irregular, lambda a, b, *_: values[frozenset((a, b))])
    matrix = model_matrix(table, by=("variant", "seed"))
    assert matrix.models == ("m1", "m10", "zeta", "m3", "alpha", "beta", "m9", "omega")
    assert matrix.labels[4] == ("b", "3")
    for i, a in enumerate(matrix.models):
        for j, b in enumerate(matrix.models):
            expected = np.nan if a == b else values[frozenset((a, b))]
            assert np.array_equal(matrix.cka[i, j], expected, equal_nan=True)


def test_a_matrix_of_two_layers_is_refused(pair_table, irregular):
    table = pair_table(irregular, lambda *_: 0.5, layers=("3", "4"))
    with pytest.raises(InputError, match="more than once"):
        model_matrix(table)
