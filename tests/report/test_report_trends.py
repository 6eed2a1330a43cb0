"""The trend over families whose layers have different names."""

from __future__ import annotations

import pytest

from fastcka.report.items import Chart, Drawing
from fastcka.report.trends import trends
from report.tables import data_of, table_of

LAYERS = {"cnn": ("conv1", "conv2", "conv10", "out"), "mlp": ("fc1", "fc2", "out")}
NAMES = [
    *("cnn · layer conv1", "cnn · layer conv2", "cnn · layer conv10"),
    *("mlp · layer fc1", "mlp · layer fc2"),
    "every family · layer out",
]


@pytest.fixture
def items(tmp_path):
    keys = [
        (f"{family}{seed}", 0, layer, {"family": family, "seed": seed})
        for seed in (0, 1)
        for family, layers in LAYERS.items()
        for layer in layers
    ]
    table = table_of(keys, lambda a, b: 0.5, keep=lambda a, b: a[2] == b[2])
    (tmp_path / "report").mkdir()
    return list(trends(data_of(table, tmp_path / "report")))


def drawn(items):
    (drawing,) = (item for item in items if isinstance(item, Drawing))
    return drawing.figure.axes[0]


def test_the_legend_is_sorted_by_family_and_then_by_layer(items):
    assert [text.get_text() for text in drawn(items).get_legend().get_texts()] == NAMES
    (chart,) = (item for item in items if isinstance(item, Chart))
    (figure,) = chart.spec["figures"]
    assert [series["name"] for series in figure["data"]] == NAMES


def test_the_layers_of_a_family_have_one_marker_and_different_colours(items):
    series = [line for line in drawn(items).lines if len(line.get_xdata())]
    markers = [line.get_marker() for line in series]
    assert [len({*markers[:3]}), len({*markers[3:5]}), len({*markers})] == [1, 1, 3]
    assert len({line.get_color() for line in series[:3]}) == 3
    assert len({line.get_color() for line in series[3:5]}) == 2


def test_the_layers_of_a_family_are_centred_at_its_tick(items):
    places = {"cnn": [], "mlp": []}
    for line in (line for line in drawn(items).lines if len(line.get_xdata())):
        for x in line.get_xdata():
            places["cnn" if x < 0.5 else "mlp"].append(x)
    for tick, (family, layers) in enumerate(LAYERS.items()):
        assert len(places[family]) == len(layers)
        assert places[family] == sorted(places[family])
        assert sum(places[family]) / len(layers) == pytest.approx(tick)
