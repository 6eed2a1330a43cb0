"""The matrices of the page in a real browser: values, controls and timelines."""

from __future__ import annotations

import pytest

from fastcka.report import write_report
from report.controls import chart_number, choose, matrix_of
from report.layered import LAYERS, STEPS
from report.waiting import until

pytestmark = pytest.mark.usefixtures("no_drawing")


def test_the_matrix_contains_the_value_of_every_pair(open_page, layered):
    _, rows = layered
    page, _ = open_page(layered[0].page)
    z, texts = matrix_of(page)
    last = [row for row in rows if row[1] == 100]
    assert len(z) == len(z[0]) == 12
    values = sorted(value for line in z for value in line if value is not None)
    assert values == pytest.approx(sorted(2 * [row[12] for row in last]))
    text = "".join(map("".join, texts))
    assert "n = 600 examples" in text
    assert "features: 64 and 64" in text
    assert "p: 0.0100" in text
    assert "90% interval" in text


def test_pointing_at_a_cell_shows_its_numbers(open_page, layered):
    page, _ = open_page(layered[0].page)
    matrix_of(page)
    box = page.locator("figure.chart").first.locator(".nsewdrag").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 1.5 / 12, box["y"] + box["height"] * 0.5 / 12)
    page.wait_for_selector(".hoverlayer .hovertext")
    shown = page.locator(".hoverlayer .hovertext").text_content()
    assert "va · seed 1 · conv1" in shown
    assert "CKA (unbiased)" in shown


def test_the_slider_changes_the_step_and_a_click_shows_the_timeline(open_page, layered):
    _, rows = layered
    page, problems = open_page(layered[0].page)
    before = matrix_of(page)[0]
    figure = page.locator("figure.chart").first
    figure.locator("input[type=range]").fill("0")
    assert figure.locator("output").text_content() == "0"
    after = matrix_of(page)[0]
    assert before != after
    values = sorted(value for line in after for value in line if value is not None)
    assert values == pytest.approx(sorted(2 * [row[12] for row in rows if row[1] == 0]))
    box = figure.locator(".nsewdrag").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 1.5 / 12, box["y"] + box["height"] * 0.5 / 12)
    page.wait_for_selector(".detail .plot svg")
    drawn = page.evaluate(
        "(([line]) => [line.x, line.y])(document.querySelector('.detail .plot').data)"
    )
    assert drawn == [list(STEPS), [after[0][1], pytest.approx(drawn[1][1]), before[0][1]]]
    figure.locator("input[type=range]").first.fill("1")
    assert figure.locator(".detail").is_visible()
    choose(page, 0, "rows", "ma1")
    assert figure.locator(".detail").is_hidden()
    choose(page, 0, "columns", "ma1")
    choose(page, 0, "pairs", "between models")
    assert figure.get_by_text("No pair has this combination of labels.").is_visible()
    assert problems == []


def test_layers_are_averaged_within_and_between_models(open_page, layered):
    _, rows = layered
    page, _ = open_page(layered[0].page)
    for heading, same in (
        ("Layer by layer within a model", True),
        ("Layer by layer between models", False),
    ):
        number = chart_number(page, heading)
        matrix_of(page, number)
        choose(page, number, "rows", "all")
        choose(page, number, "columns", "all")
        z, texts = matrix_of(page, number)
        for i, first in enumerate(LAYERS):
            for j, second in enumerate(LAYERS):
                values = [
                    row[12]
                    for row in rows
                    if row[1] == 100
                    and (row[0] == row[3]) is same
                    and {row[2], row[5]} == {first, second}
                ]
                expected = sum(values) / len(values) if values else None
                assert z[i][j] == (None if expected is None else pytest.approx(expected, abs=1e-6))
                if values:
                    assert f"<br>{len(values)} pairs, " in texts[i][j]


def test_rows_and_columns_can_be_two_models(open_page, layered):
    _, rows = layered
    page, _ = open_page(layered[0].page)
    matrix_of(page)
    choose(page, 0, "rows", "ma1")
    choose(page, 0, "columns", "mb2")
    z, _ = matrix_of(page)
    expected = {
        (row[5], row[2]): row[12] for row in rows if row[:2] == ["mb2", 100] and row[3] == "ma1"
    }
    assert z == [[pytest.approx(expected[a, b]) for b in LAYERS] for a in LAYERS]


def test_the_row_is_the_first_argument_of_an_asymmetric_similarity(open_page, layered):
    _, rows = layered
    page, _ = open_page(layered[0].page)
    matrix_of(page)
    similarity = page.locator("#toolbar").get_by_label("similarity")
    assert similarity.locator("option").all_text_contents() == [
        "CKA (unbiased)",
        "another measure",
        "pwcca",
    ]
    similarity.select_option(label="pwcca")
    of_models = [row for row in rows if row[:2] == ["mb2", 100] and row[3] == "ma1"]
    forward = {(row[2], row[5]): row[17] for row in of_models}
    backward = {(row[5], row[2]): row[18] for row in of_models}
    for first, second, expected in (("mb2", "ma1", forward), ("ma1", "mb2", backward)):
        choose(page, 0, "rows", first)
        choose(page, 0, "columns", second)
        z, texts = matrix_of(page)
        assert z == [[pytest.approx(expected[a, b], abs=1e-6) for b in LAYERS] for a in LAYERS]
        assert "features: 64 and 32" in texts[0][1]
        assert "features: 32 and 64" in texts[1][0]
    number = chart_number(page, "Layer by layer between models")
    matrix_of(page, number)
    choose(page, number, "rows", "all")
    choose(page, number, "columns", "all")
    z, texts = matrix_of(page, number)
    values = [
        value
        for row in rows
        if row[1] == 100 and row[0] != row[3] and row[2] == row[5] == "fc"
        for value in row[17:19]
    ]
    assert z[2][2] == pytest.approx(sum(values) / len(values), abs=1e-6)
    assert f"{len(values)} ordered pairs" in texts[2][2]


def test_rows_are_sorted_by_a_factor_or_by_the_clustering(open_page, layered):
    page, _ = open_page(layered[0].page)

    def names():
        return page.evaluate("document.querySelector('.plot').layout.yaxis.ticktext")

    matrix_of(page)
    assert [name.split(" · ")[-1] for name in names()] == [
        layer for layer in LAYERS for _ in "12"
    ] * 2
    choose(page, 0, "sort by", "layer")
    assert [name.split(" · ")[-1] for name in names()] == [
        layer for layer in LAYERS for _ in "1234"
    ]
    choose(page, 0, "sort by", "cluster")
    number = chart_number(page, "Dendrogram")
    page.locator("figure.chart").nth(number).scroll_into_view_if_needed()
    until(
        page,
        "n => document.querySelectorAll('figure.chart')[n].querySelector('.plot').data",
        number,
    )
    leaves = (
        page.locator("figure.chart")
        .nth(number)
        .locator(".plot")
        .evaluate("plot => plot.layout.yaxis.ticktext")
    )
    assert names() == leaves


def test_the_similarity_and_the_colours_can_be_changed(open_page, layered):
    page, _ = open_page(layered[0].page)
    before = matrix_of(page)[0]
    toolbar = page.locator("#toolbar")
    toolbar.get_by_label("similarity").select_option(label="another measure")
    halved = [
        [None if v is None else pytest.approx(v / 2, abs=1e-6) for v in row] for row in before
    ]
    assert matrix_of(page)[0] == halved
    toolbar.get_by_label("colours").select_option(label="Greys")
    assert page.evaluate("document.querySelector('.plot').data[0].colorscale") == "Greys"
    toolbar.get_by_label("range").select_option(label="the range of each figure")
    top = page.evaluate("document.querySelector('.plot').data[0].zmax")
    assert top == pytest.approx(max(v for row in before for v in row if v is not None) / 2)


def test_the_timeline_of_an_asymmetric_similarity_states_its_direction(open_page, layered):
    page, _ = open_page(layered[0].page)
    matrix_of(page)
    figure = page.locator("figure.chart").first
    for similarity, notes in (("CKA (unbiased)", 0), ("pwcca", 1)):
        page.locator("#toolbar").get_by_label("similarity").select_option(label=similarity)
        box = figure.locator(".nsewdrag").first.bounding_box()
        page.mouse.click(box["x"] + box["width"] * 1.5 / 12, box["y"] + box["height"] * 0.5 / 12)
        figure.locator(".detail .plot svg").first.wait_for()
        assert figure.get_by_text("The row is the first argument.").count() == notes


def test_one_set_by_all_is_a_rectangle(open_page, results_folder, models, planted):
    def is_base(labels):
        return (labels["family"], labels["variant"]) == ("PT2", "a")

    folder = results_folder(
        models,
        planted,
        keep=lambda a, b: is_base(a) or is_base(b),
        config={"compare": {"left": {}, "right": {"family": ["PT2"], "variant": ["a"]}}},
    )
    page, problems = open_page(write_report(folder, permutations=9).page)
    z, _ = matrix_of(page)
    assert (len(z), len(z[0])) == (18, 3)
    empty = [(i, j) for i, row in enumerate(z) for j, value in enumerate(row) if value is None]
    assert empty == [(0, 0), (1, 1), (2, 2)]
    assert problems == []


def test_a_cell_may_contain_more_values_than_a_call_takes_arguments(open_page, layered):
    page, _ = open_page(layered[0].page)
    got = page.evaluate("summary(Array(300000).fill(0).concat([1]))")
    first, second = page.evaluate("PAIRS.values[0].numbers.slice(0, 2)")
    assert (got["low"], got["high"]) == (min(first, second), max(first, second))
    assert got["count"] == 300_001
    assert page.evaluate("longest(Array(300000).fill('conv').concat(['conv10']), 26)") == 6
