"""The page in a real browser: figures, controls, hostile labels, and no request."""

from __future__ import annotations

import csv
import json
import shutil
import time

import pytest

from fastcka.report import write_report
from report.waiting import until

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="the browser chromium is not installed"),
    pytest.mark.usefixtures("no_drawing"),
]

HOSTILE = "</script><script>window.bad=1</script><img src=x onerror='window.bad=2'><b>%{z}&lt;$x$"
WIDTHS = {"conv1": 64, "conv2": 32, "fc": 10}
LAYERS = tuple(WIDTHS)
STEPS = (0, 50, 100)


@pytest.fixture
def layered(tmp_path):
    """Results of all pairs of four models with three layers at three steps."""
    models = {f"m{v}{s}": (f"v{v}", str(s)) for v in "ab" for s in (1, 2)}
    keys = [(model, layer) for model in models for layer in LAYERS]
    folder = tmp_path / "results"
    folder.mkdir()
    rows = []
    for step in STEPS:
        for i, (model_a, layer_a) in enumerate(keys):
            for j, (model_b, layer_b) in enumerate(keys[:i]):
                value = (17 * i + 29 * j + step) % 97 / 100
                factors = [
                    label
                    for pair in zip(models[model_a], models[model_b], strict=True)
                    for label in pair
                ]
                sides = [model_a, step, layer_a, model_b, step, layer_b, *factors]
                numbers = [value, value / 2, 0.01, value - 0.1, 0.9, value / 3, value / 4]
                rows.append([*sides, 600, "unbiased", *numbers])
    header = [f"{key}_{side}" for side in "ab" for key in ("model", "step", "layer")]
    header += ["variant_a", "variant_b", "seed_a", "seed_b", "n_examples", "estimator", "cka"]
    with (folder / "results.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [
                [*header, "another_measure", "p_value", "ci_low", "ci_high", "pwcca", "pwcca_b"],
                *rows,
            ]
        )
    groups = [
        {
            "keys": [[model, step, layer, "digest"] for model, layer in keys],
            "n_features": [WIDTHS[layer] for _, layer in keys],
            "pooling": ["mean over positions"] * len(keys),
        }
        for step in STEPS
    ]
    record = {
        "config": {"store": "a store", "compare": {}},
        "versions": {"fastcka": "0"},
        "finished": "2026-11-21T00:00:00+00:00",
        "plan": {"dropped": {}},
        "groups": groups,
    }
    (folder / "run.json").write_text(json.dumps(record))
    return write_report(folder, permutations=99), rows


def matrix_of(page, number=0):
    """Return the values and the texts of a matrix."""
    figure = page.locator("figure.chart").nth(number)
    figure.scroll_into_view_if_needed()
    until(
        page,
        "n => document.querySelectorAll('figure.chart')[n].querySelector('.plot').data",
        number,
    )
    return figure.locator(".plot").first.evaluate("plot => [plot.data[0].z, plot.data[0].text]")


def choose(page, number, label, text):
    """Choose a text in a list of a figure."""
    figure = page.locator("figure.chart").nth(number)
    figure.get_by_label(label, exact=True).select_option(label=text)


def chart_number(page, heading):
    return page.evaluate(
        """heading => [...document.querySelectorAll('figure.chart')].findIndex(
            (each) => each.querySelector('h3')?.textContent === heading)""",
        heading,
    )


def test_every_figure_is_drawn_without_errors_or_requests(open_page, layered):
    page, problems = open_page(layered[0].page)
    figures = page.locator("figure.chart")
    assert figures.count() >= 6
    for number in range(figures.count()):
        figures.nth(number).scroll_into_view_if_needed()
        until(
            page,
            """n => document.querySelectorAll('figure.chart')[n]
                .querySelector('.plot svg.main-svg, .plot table')""",
            number,
        )
    assert problems == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_figure_is_drawn_when_it_is_scrolled_into_view(open_page, layered):
    page, _ = open_page(layered[0].page)
    last = page.locator("figure.chart").last
    assert last.locator("table").count() == 0
    last.scroll_into_view_if_needed()
    last.locator("table").first.wait_for()


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
    assert "95% interval" in text


def test_pointing_at_a_cell_shows_its_numbers(open_page, layered):
    page, _ = open_page(layered[0].page)
    matrix_of(page)
    box = page.locator("figure.chart").first.locator(".nsewdrag").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 1.5 / 12, box["y"] + box["height"] * 0.5 / 12)
    page.wait_for_selector(".hoverlayer .hovertext")
    shown = page.locator(".hoverlayer .hovertext").text_content()
    assert "va / 1 · conv1" in shown
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
    assert [name.split(" · ")[1] for name in names()] == [
        layer for layer in LAYERS for _ in "12"
    ] * 2
    choose(page, 0, "sort by", "layer")
    assert [name.split(" · ")[1] for name in names()] == [layer for layer in LAYERS for _ in "1234"]
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
    assert names() == [leaf.replace(" conv", " · conv").replace(" fc", " · fc") for leaf in leaves]


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


def test_the_table_sorts_filters_and_renders_few_rows(open_page, layered):
    _, rows = layered
    page, _ = open_page(layered[0].page)
    figure = page.locator("figure.chart").last
    figure.scroll_into_view_if_needed()
    page.wait_for_selector("figure.chart table")
    body = figure.locator("tbody tr")
    assert body.count() == 25
    column = figure.locator("th").all_text_contents().index("CKA (unbiased)")

    def shown():
        return [
            float(text)
            for text in figure.locator(f"td:nth-child({column + 1})").all_text_contents()
        ]

    figure.get_by_role("button", name="CKA (unbiased)").click()
    assert shown() == pytest.approx(sorted(row[12] for row in rows)[:25])
    figure.get_by_role("button", name="CKA (unbiased)").click()
    assert shown() == pytest.approx(sorted((row[12] for row in rows), reverse=True)[:25])
    figure.get_by_label("filter").fill("conv2 MA1")
    kept = [row for row in rows if "conv2" in (row[2], row[5]) and "ma1" in (row[0], row[3])]
    assert figure.locator("output").text_content() == f"1 to 25 of {len(kept)}"
    figure.get_by_label("filter").fill("nothing")
    assert body.count() == 0


@pytest.mark.parametrize(("button", "start"), [("PNG", b"\x89PNG"), ("SVG", b"<svg")])
def test_a_figure_can_be_downloaded(open_page, layered, button, start):
    page, problems = open_page(layered[0].page)
    matrix_of(page)
    page.locator("figure.chart").first.locator(".nsewdrag").hover()
    with page.expect_download() as download:
        page.locator(f"[data-title='Download as {button}']").first.click()
    assert download.value.path().read_bytes().startswith(start)
    assert problems == []


def test_hostile_labels_stay_text(open_page, results_folder, planted):
    models = {
        f"{HOSTILE}{v}{s}": {"variant": f"{HOSTILE}{v}", "seed": s, "family": f"{HOSTILE}f"}
        for v in range(3)
        for s in range(3)
    }
    report = write_report(
        results_folder(models, planted, layers=(f"{HOSTILE}1", "2"), steps=(0, 10)), permutations=99
    )
    page, problems = open_page(report.page)
    for number in range(page.locator("figure.chart").count()):
        page.locator("figure.chart").nth(number).scroll_into_view_if_needed()
        page.wait_for_timeout(100)
    matrix_of(page)
    box = page.locator("figure.chart").first.locator(".nsewdrag").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + 2)
    page.wait_for_selector(".hoverlayer .hovertext")
    assert HOSTILE[:40] in page.locator(".hoverlayer .hovertext").text_content()
    assert page.evaluate("window.bad") is None
    assert page.locator("img, .plot a, .hoverlayer b").count() == 0
    assert problems == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [420, 1280])
def test_the_page_fits_the_window_in_light_and_dark(open_page, layered, width, scheme):
    page, problems = open_page(layered[0].page, width=width, scheme=scheme)
    matrix_of(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    figure = page.locator("figure.chart").first.locator(".plot")
    assert figure.bounding_box()["y"] < 900  # on the first screen
    paper = figure.evaluate("plot => plot._fullLayout.paper_bgcolor")
    assert paper == {"light": "#ffffff", "dark": "#14171a"}[scheme]
    assert problems == []


def test_a_page_of_8000_pairs_opens(open_page, results_folder, planted, capsys):
    models = {
        f"m-{variant}-{seed}": {"variant": variant, "seed": seed}
        for variant in range(21)
        for seed in range(3)
    }
    report = write_report(
        results_folder(models, planted, layers=("1", "2", "3", "4")), permutations=99
    )
    start = time.perf_counter()
    page, problems = open_page(report.page)
    first = page.evaluate("performance.getEntriesByName('first figure')[0].startTime")
    with capsys.disabled():
        size = report.page.stat().st_size / 2**20
        print(f"\n7,812 pairs: {size:.1f} MiB, first figure after {first / 1000:.2f} s")
        print(f"with the start of a page: {time.perf_counter() - start:.2f} s")
    assert len(matrix_of(page)[0]) == 63
    assert problems == []
