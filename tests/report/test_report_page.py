"""The page is one file, fetches nothing, and shows every name as text."""

from __future__ import annotations

import base64
import csv
import hashlib
import html
import json
import re
from html.parser import HTMLParser

import pytest

from fastcka.report import write_report
from fastcka.report.writer import csv_cell

HOSTILE = "</style></script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.opened = []

    def handle_starttag(self, tag, attrs):
        self.opened.append((tag, dict(attrs)))


@pytest.fixture
def write_hostile(results_folder, planted):
    models = {
        f"{HOSTILE}-{v}-{s}": {
            "variant": f"{HOSTILE}{v}",
            "seed": s,
            "family": "=cmd|' /C calc'!A0",
        }
        for v in range(2)
        for s in range(3)
    }
    folder = results_folder(models, planted, config={"examples": f"region:{HOSTILE}$x$"})
    return lambda: write_report(folder, permutations=99)


@pytest.fixture
def hostile(write_hostile, no_drawing):
    return write_hostile()


def scripts_of(text):
    """Return the attributes and the contents of every script element, as a browser finds them."""
    return re.findall(r"<script([^>]*)>(.*?)</script>", text, re.S)


def test_names_are_escaped(hostile):
    text = hostile.page.read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(text)
    assert [name for name, _ in tags.opened].count("script") == 3  # data, plotly and ours
    assert not [name for _, attributes in tags.opened for name in attributes if name[:2] == "on"]
    assert "img" not in {tag for tag, _ in tags.opened}
    assert "&lt;/style&gt;&lt;/script&gt;&lt;script&gt;alert(1)" in text
    ((_, data), *_) = scripts_of(text)
    variants = json.loads(data)["pairs"]["fields"]["variant"]["labels"]
    assert variants == [f"{HOSTILE}0", f"{HOSTILE}1"]


def test_only_the_two_scripts_of_the_report_may_run(hostile):
    text = hostile.page.read_text(encoding="utf-8")
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    policy = html.unescape(policy)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    allowed = re.findall(r"'sha256-([^']+)'", policy)
    ((kind, _), *scripts) = scripts_of(text)
    assert 'type="application/json"' in kind
    digests = [
        base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for _, code in scripts
    ]
    assert digests == allowed
    assert "unsafe-inline" not in policy.split("style-src")[0]
    assert "unsafe-eval" not in policy


def test_nothing_is_fetched(hostile):
    text = hostile.page.read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(text)
    assert not {tag for tag, _ in tags.opened} & {"link", "iframe", "object", "embed", "base"}
    links = [attributes["href"] for tag, attributes in tags.opened if tag == "a"]
    assert links
    assert all(link.startswith("#") for link in links)
    (_, _, (_, plotly)) = scripts_of(text)
    assert not re.search(r"url\(|@import|https?://", text.replace(plotly, ""))


def test_no_cell_is_a_formula(hostile):
    for path in hostile.tables:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.reader(file):
                for text in row:
                    if text[:1] in ("=", "+", "-", "@", "\t", "\r"):
                        float(text)  # only a negative number
    with (hostile.folder / "tables" / "block_means.csv").open(newline="") as file:
        assert next(iter(csv.DictReader(file)))["family"].startswith("'=cmd")


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (float("nan"), ""), (-0.5, "-0.5"), ("-0.5x", "'-0.5x"), (3, "3"), (True, "true")],
)
def test_cells(value, text):
    assert csv_cell(value) == text


def test_files_have_safe_names(write_hostile):
    hostile = write_hostile()  # draws the figures
    for path in [*hostile.figures, *hostile.tables]:
        assert re.fullmatch(r"[A-Za-z0-9._]+", path.name)
        assert path.is_file()
    assert all(path.with_suffix(".pdf").read_bytes()[:5] == b"%PDF-" for path in hostile.figures)


@pytest.mark.usefixtures("no_drawing")
def test_numbers_on_the_page_equal_those_of_the_table(results_folder, models, planted):
    result = write_report(results_folder(models, planted), permutations=99)
    text = result.page.read_text(encoding="utf-8")
    with (result.folder / "tables" / "comparisons.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    for row in rows:
        for name in ("difference", "p", "smallest_p"):
            assert f'<td class="number">{float(row[name]):.4f}</td>' in text
        assert f"{float(row['low']):.4f} to {float(row['high']):.4f}</td>" in text
    assert "models without a last step" in text


@pytest.mark.usefixtures("no_drawing")
def test_the_reason_for_a_missing_p_value_is_a_footnote(results_folder, models, planted):
    folder = results_folder(models, planted, keep=lambda a, b: a["family"] == b["family"])
    text = write_report(folder, permutations=99).page.read_text(encoding="utf-8")
    (note,) = re.findall(r'<p class="note" id="note-(\d+)">.*no p-value: models of different', text)
    assert re.search(rf'class="number">18<sup><a href="#note-{note}">{note}</a></sup></td>', text)


@pytest.mark.usefixtures("no_drawing")
def test_facts_files_and_missing_views_follow_the_figures(results_folder, models, planted):
    text = write_report(results_folder(models, planted), permutations=99).page.read_text("utf-8")
    headings = re.findall(r"<h[123]>([^<]*)</h[123]>", text)
    assert headings[1] == "All pairs"
    assert headings[-3:] == [
        "About this report",
        "Not shown here",
        "Does not apply to this sweep",
    ]
    assert text.index('class="lead">At step 100, the mean unbiased CKA is ') < text.index("<h2>")
