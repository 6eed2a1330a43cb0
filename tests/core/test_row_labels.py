"""Rows of pandas tables and xarray arrays are matched by their labels."""

from __future__ import annotations

import re

import pandas as pd
import pytest
import xarray as xr

import fastcka
import oracle
from fastcka.errors import InputError

N = 30
NAMES = [f"img{i}" for i in range(N)]
LABELS = {
    "names": NAMES,
    "integers": list(range(100, 100 + N)),
    "the default": pd.RangeIndex(N),
    "dates": pd.date_range("2020-01-01", periods=N),
    "two levels": pd.MultiIndex.from_product([range(5), range(6)]),
    "categories": pd.CategoricalIndex(NAMES),
}


@pytest.fixture
def x(rng):
    return rng.standard_normal((N, 4))


@pytest.fixture
def y(rng, x):
    return x @ rng.standard_normal((4, 3)) + 0.3 * rng.standard_normal((N, 3))


@pytest.fixture
def moved(rng):
    return rng.permutation(N)


def named(array, labels=NAMES):
    return xr.DataArray(array, dims=("example", "feature"), coords={"example": labels})


def agrees(one, other, x, y):
    expected = oracle.cka(x, y, "unbiased")
    assert fastcka.cka(one, other) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("labels", LABELS)
def test_the_same_labels_in_another_order(x, y, moved, labels):
    one, other = (pd.DataFrame(a, index=LABELS[labels]) for a in (x, y))
    agrees(one, other, x, y)
    agrees(one, other.iloc[moved], x, y)
    agrees(one.iloc[moved], other, x, y)


def test_all_functions_align(x, y, moved):
    one, other = pd.DataFrame(x, index=NAMES), pd.DataFrame(y, index=NAMES).iloc[moved]
    expected = oracle.cka(x, y, "unbiased")
    assert fastcka.cka_matrix([one, other])[0, 1] == pytest.approx(expected, abs=1e-9)
    assert fastcka.compare({"a": one, "b": other}).cka[0, 1] == pytest.approx(expected, abs=1e-9)
    assert fastcka.hsic(one, other) == pytest.approx(fastcka.hsic(x, y), rel=1e-12)


def test_xarray(x, y, moved):
    agrees(named(x), named(y).isel(example=moved), x, y)
    agrees(named(x), pd.DataFrame(y, index=NAMES).iloc[moved], x, y)
    agrees(named(x), named(y).rename(example="image").isel(image=moved), x, y)
    agrees(named(x).drop_vars("example"), named(y), x, y)
    agrees(xr.DataArray(x), named(y), x, y)


@pytest.mark.parametrize(
    ("other_dims", "message"),
    [
        (("feature", "example"), "'example' in .*x.* and 'feature' in .*y"),
        (("image", "feature"), "'example' in .*x.* and 'image' in .*y"),
    ],
)
def test_different_first_dimensions_are_refused(rng, other_dims, message):
    square = rng.standard_normal((6, 6))
    one = xr.DataArray(square, dims=("example", "feature"))
    other = xr.DataArray(square, dims=other_dims)
    with pytest.raises(InputError, match=message + r".*expected the examples in both"):
        fastcka.cka(one, other)
    with pytest.raises(InputError, match=r"'dim_0' in .* and 'dim_1'"):
        fastcka.cka(xr.DataArray(square), xr.DataArray(square).T)


def test_an_array_without_labels_is_matched_by_position(x, y, moved):
    table = pd.DataFrame(x, index=NAMES)
    agrees(table, y, x, y)
    agrees(y, table, y, x)
    agrees(table, pd.DataFrame(y), x, y)  # labels 0 to n-1 are only positions
    agrees(table.iloc[moved], y[moved], x, y)
    agrees(table.set_axis(["same"] * N), y, x, y)  # these labels are not matched


def test_different_labels_are_refused(x, y):
    one, other = pd.DataFrame(x, index=NAMES), pd.DataFrame(y, index=NAMES)
    message = (
        "5 of the 25 labels of representation 0 (x) are not in representation 1 (y) (the first: "
        "'img25') and 4 of the 24 labels of representation 1 (y) are not in representation 0 (x) "
        "(the first: 'img1')"
    )
    with pytest.raises(InputError, match=re.escape(message)):
        fastcka.cka(one.iloc[5:], other.iloc[1:-5])
    with pytest.raises(
        InputError, match=r"3 of the 30 labels of .*y\) are not in .*x\) \(the first: 'img0'\)"
    ):
        fastcka.cka(one.iloc[3:], named(y))
    with pytest.raises(InputError, match=r"30 of the 30 .* \(the first: '0'\)"):
        fastcka.cka(one.set_axis([str(i) for i in range(N)]), other.set_axis(range(1, N + 1)))


def test_the_default_index_and_other_integers(x, y):
    chosen = pd.DataFrame(x).iloc[10:20]
    with pytest.raises(InputError, match=r"10 of the 10 .* \(the first: 10\).* \(the first: 0\)"):
        fastcka.cka(chosen, pd.DataFrame(y).iloc[:10])
    agrees(chosen, pd.DataFrame(y).iloc[10:20], x[10:20], y[10:20])


def test_repeated_labels_are_refused(x, y):
    twice = pd.concat([pd.DataFrame(x[:15]), pd.DataFrame(x[15:])])
    with pytest.raises(InputError, match=r"\(x\) has the row label 0 more than once, in rows 0 an"):
        fastcka.cka(twice, pd.DataFrame(y, index=twice.index))
    with pytest.raises(InputError, match=r"\(y\) has the row label 'img3' more than once, in rows"):
        fastcka.cka(pd.DataFrame(x, index=NAMES), pd.DataFrame(y, index=[*NAMES[:-1], "img3"]))


def test_different_numbers_of_levels_are_refused(x, y):
    one, other = pd.DataFrame(x, index=NAMES), pd.DataFrame(y, index=LABELS["two levels"])
    with pytest.raises(InputError, match=r"row labels with 1 level and .* with 2 lev"):
        fastcka.cka(one, other)


def test_positions_cannot_match_labels_in_two_orders(x, y, moved):
    one, other = pd.DataFrame(x, index=NAMES), pd.DataFrame(y, index=NAMES).iloc[moved]
    for third in (y, pd.DataFrame(y)):
        with pytest.raises(InputError, match=r"in different orders, and representations\[2\] has"):
            fastcka.cka_matrix([one, other, third])
    fastcka.cka_matrix([one, other.loc[NAMES], y])
