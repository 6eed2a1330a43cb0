"""The page is one file, fetches nothing, and shows every name as text."""

from __future__ import annotations

import csv
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
def hostile(results_folder, planted):
    models = {
        f"{HOSTILE}-{v}-{s}": {
            "variant": f"{HOSTILE}{v}",
            "seed": s,
            "family": "=cmd|' /C calc'!A0",
        }
        for v in range(2)
        for s in range(3)
    }
    return write_report(
        results_folder(models, planted, config={"examples": f"region:{HOSTILE}$x$"}),
        permutations=99,
    )


def test_names_are_escaped(hostile):
    text = hostile.page.read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(text)
    assert "script" not in {tag for tag, _ in tags.opened}
    assert not [name for _, attributes in tags.opened for name in attributes if name[:2] == "on"]
    assert "&lt;/style&gt;&lt;/script&gt;&lt;script&gt;alert(1)" in text
    images = [attributes["src"] for tag, attributes in tags.opened if tag == "img"]
    assert len(images) == len(hostile.figures)
    assert all(source.startswith("data:image/png;base64,") for source in images)


def test_nothing_is_fetched(hostile):
    text = hostile.page.read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(text)
    assert not {tag for tag, _ in tags.opened} & {"link", "iframe", "object", "embed", "base", "a"}
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text
    assert not re.search(r"url\(|@import|https?://", text)


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


def test_files_have_safe_names(hostile):
    for path in [*hostile.figures, *hostile.tables]:
        assert re.fullmatch(r"[A-Za-z0-9._]+", path.name)
        assert path.is_file()
    assert all(path.with_suffix(".pdf").read_bytes()[:5] == b"%PDF-" for path in hostile.figures)


def test_numbers_on_the_page_equal_those_of_the_table(results_folder, models, planted):
    result = write_report(results_folder(models, planted), permutations=99)
    text = result.page.read_text(encoding="utf-8")
    with (result.folder / "tables" / "comparisons.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    for row in rows:
        for name in ("difference", "low", "high", "p"):
            assert f'<td class="number">{float(row[name]):.4f}</td>' in text
    assert "models without a last step" in text
