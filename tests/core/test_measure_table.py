"""The table of measures: its names, its page, and the columns that results have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from fastcka.core.measures.table import MEASURES, MeasureName, column_names
from fastcka.store.file.format import RESERVED_FACTORS

PAGE = Path(__file__).parents[2] / "docs" / "measures.md"


def test_the_names_are_those_of_the_type():
    assert list(MEASURES) == list(get_args(MeasureName))


def test_the_page_shows_the_table():
    text = PAGE.read_text("utf-8")
    shown = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in re.findall(r"^\| `.*\|$", text, re.M)
    ]
    expected = [
        [
            f"`{name}`",
            each.title,
            each.value_range,
            ", ".join(each.metrics) or "none",
            ", ".join(each.invariances)
            + (f" ({each.invariance_note})" if each.invariance_note else ""),
            each.cost,
            each.reference,
            ", ".join(f"`{option}` ({default})" for option, default in each.options.items()) or "-",
        ]
        for name, each in MEASURES.items()
    ]
    assert shown == expected


def test_the_example_of_the_page(capsys):
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)
    exec(code, {})
    procrustes, neighbors = map(float, capsys.readouterr().out.split())
    assert 0.5 < procrustes < 1
    assert 0.1 < neighbors < 1


def test_no_factor_can_have_the_name_of_a_column():
    assert set(column_names(list(MEASURES))) <= RESERVED_FACTORS


@pytest.mark.parametrize("name", [name for name in MEASURES if name != "cka"])
def test_costs_grow(name):
    from fastcka.core.measures.cost import cost_of
    from fastcka.core.measures.measure import Measure

    small, more, longer, wider = (
        np.array(cost_of(Measure(name), n, [d] * m))
        for m, n, d in [(5, 1000, 64), (10, 1000, 64), (5, 4000, 64), (5, 1000, 128)]
    )
    for larger in (more, longer, wider):
        assert (larger >= small).all()
        assert larger[1] > 1.2 * small[1]
