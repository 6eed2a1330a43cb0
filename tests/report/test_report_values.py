"""The similarities that a figure can show, and the direction of those that are asymmetric."""

from __future__ import annotations

import numpy as np
import pytest

from fastcka.report.items import Chart
from fastcka.report.timelines import timelines
from fastcka.report.trends import trends
from fastcka.report.values import values_of
from report.tables import data_of, networks, same_step, table_of


def test_every_column_of_similarities_can_be_shown():
    table = table_of(
        networks(steps=(0,)),
        lambda a, b: 0.5,
        cka_unbiased=lambda a, b: 0.5,
        cka_biased=lambda a, b: 0.6,
        some_new_measure=lambda a, b: 30.0,
        undefined_everywhere=lambda a, b: float("nan"),
        p_value=lambda a, b: 0.01,
        hsic_biased=lambda a, b: 1e9,
        device=lambda a, b: "cpu",
    )
    values = {value.name: value for value in values_of(table)}
    assert list(values) == ["cka", "cka_biased", "some_new_measure"]
    assert values["cka"].title == "CKA (unbiased)"
    assert values["some_new_measure"].title == "some new measure"
    assert values["cka"].limits == (0, 1)
    assert values["some_new_measure"].limits == (30, 30)
    assert values["some_new_measure"].of(table).cka.tolist() == [30.0] * len(table)


def test_the_reverse_of_an_asymmetric_measure_is_no_similarity_by_itself():
    table = table_of(
        networks(steps=(0,)),
        lambda a, b: 0.5,
        pwcca=lambda a, b: 0.25,
        pwcca_b=lambda a, b: 3.0,
        other_b=lambda a, b: 0.75,
    )
    values = {value.name: value for value in values_of(table)}
    assert list(values) == ["cka", "pwcca", "other_b"]
    assert values["pwcca"].numbers.tolist() == [0.25] * len(table)
    assert values["pwcca"].reverse.tolist() == [3.0] * len(table)
    assert values["pwcca"].limits == (0.25, 3.0)
    assert values["cka"].reverse is None


@pytest.fixture
def directed(tmp_path):
    """Pairs with an asymmetric measure, and key -> key -> its value with the first key first."""
    rng = np.random.default_rng(1)
    numbers: dict = {}

    def value(a, b):
        return numbers.setdefault((a[:3], b[:3]), float(rng.uniform()))

    table = table_of(
        networks(),
        lambda a, b: 0.5,
        keep=same_step,
        pwcca=value,
        pwcca_b=lambda a, b: value(b, a),
    )
    return data_of(table, tmp_path), numbers


def figures_of(view, data, value):
    """Return the figures of a similarity, and the caption of their chart."""
    charts = [item for item in view(data) if isinstance(item, Chart)]
    figures = [each for chart in charts for each in chart.spec["figures"]]
    return [each for each in figures if each["value"] == value], charts[0].about


@pytest.mark.parametrize("view", [trends, timelines])
def test_trends_use_both_directions_of_an_asymmetric_measure(directed, view):
    data, numbers = directed
    figures, about = figures_of(view, data, "pwcca")
    figure = figures[-1 if view is trends else 0]  # step 100, or the family cnn
    assert figure["layout"]["yaxis"]["title"]["text"] == "pwcca (mean of both directions)"
    assert "pwcca: a pair has the mean of both directions." in about
    drawn = {
        (trace["name"], x): y
        for trace in figure["data"]
        if "markers" in trace["mode"]
        for x, y in zip(trace["x"], trace["y"], strict=True)
    }
    assert drawn
    for layer in ("conv", "fc"):
        ordered = [
            (a, b, value)
            for (a, b), value in numbers.items()
            if a[2] == b[2] == layer and a[0][-1] != b[0][-1] and a[0][:3] == b[0][:3]
        ]
        if view is trends:
            for place, family in enumerate(("cnn", "mlp")):
                values = [v for a, _, v in ordered if a[0][:3] == family and a[1] == 100]
                assert len(values) == 2
                (mean,) = (
                    y
                    for (name, x), y in drawn.items()
                    if name == f"layer {layer}" and round(x) == place
                )
                assert mean == pytest.approx(np.mean(values), abs=1e-6)
        else:
            for step in (0, 100):
                values = [v for a, _, v in ordered if a[1] == step and a[0][:3] == "cnn"]
                assert drawn[f"layer {layer}", step] == pytest.approx(np.mean(values), abs=1e-6)


def test_figures_of_symmetric_measures_mention_no_direction(directed):
    for view in (trends, timelines):
        (figure, *_), _ = figures_of(view, directed[0], "cka")
        assert "directions" not in figure["layout"]["yaxis"]["title"]["text"]
