"""The page in a real browser: its figures, its table, hostile labels, and no request."""

from __future__ import annotations

import time

import pytest

from fastcka.report import write_report
from report.controls import matrix_of
from report.waiting import until

pytestmark = pytest.mark.usefixtures("no_drawing")

HOSTILE = "</script><script>window.bad=1</script><img src=x onerror='window.bad=2'><b>%{z}&lt;$x$"


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


def test_the_first_matrix_is_sketched_before_plotly_is_loaded(open_page, layered):
    cm = pytest.importorskip("matplotlib").colormaps["viridis"]
    page, problems = open_page(layered[0].page)
    z, _ = matrix_of(page)
    sketched, drawn = page.evaluate(
        "['first figure', 'plotly'].map(name => performance.getEntriesByName(name)[0].startTime)"
    )
    assert sketched < drawn
    assert page.locator("figure.chart canvas").count() == 0
    assert problems == []
    pixels = page.evaluate(
        """() => {
            const { sorts, start } = CHARTS[0], plot = document.createElement("div");
            const drawn = heatmap(pivot({ ...CHARTS[0], sort: sorts[0] }, start), 900);
            const layout = { ...drawn[1], width: 900, template: template(false) };
            sketch(plot, drawn[0], layout);
            const pen = plot.firstChild.getContext("2d"), { l, r, t, b } = layout.margin;
            const across = (900 - l - r) / 12, down = (layout.height - t - b) / 12;
            return [...Array(12).keys()].map((y) => [...Array(12).keys()].map((x) => [
                ...pen.getImageData(l + across * (x + 0.2), t + down * (y + 0.2), 1, 1).data]));
        }"""
    )
    for row, values in zip(pixels, z, strict=True):
        for pixel, value in zip(row, values, strict=True):
            expected = (1, 1, 1) if value is None else cm(value)[:3]
            assert pixel[:3] == pytest.approx([255 * part for part in expected], abs=4)


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
    figure.get_by_label("filter").fill("va · seed 1")
    assert body.count() == 25
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


def test_a_page_of_30_figures_opens(open_page, results_folder, planted):
    models = {
        f"f{family}-{variant}-{seed}": {"family": f"f{family}", "variant": variant, "seed": seed}
        for family in range(26)
        for variant in range(4)
        for seed in range(2)
    }
    folder = results_folder(
        models,
        planted,
        layers=("1", "2", "3", "4"),
        steps=(0, 10, 100),
        keep=lambda a, b: a["family"] == b["family"],
    )
    report = write_report(folder, permutations=9)
    page, problems = open_page(report.page)
    figures = page.locator("figure.chart")
    assert page.evaluate("PAIRS.a.length") == 26 * 28 * 12
    assert figures.count() >= 30
    drawn = "document.querySelectorAll('.plot svg.main-svg, .plot table').length"
    assert page.evaluate(drawn) < 10  # those that are in view
    for number in range(figures.count()):
        figures.nth(number).scroll_into_view_if_needed()
    figures.last.locator("table").first.wait_for()
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
