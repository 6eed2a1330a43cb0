"""What a notebook shows of a comparison, and the Axes of `Comparison.plot`."""

from __future__ import annotations

import pickle
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import fastcka
from fastcka.errors import InputError, MissingExtraError


class Tables(HTMLParser):
    """The tables of a document, as rows of texts; only the tags that are expected."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.texts, self.tags, self.in_cell = [], [], set(), False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.in_cell = False

    def handle_data(self, data):
        self.texts.append(data)
        if self.in_cell:
            self.tables[-1][-1][-1] += data


def test_a_small_heatmap_and_the_nearest_pairs(rng):
    xs = {name: rng.standard_normal((30, 4)) for name in "abc"}
    result = fastcka.compare(xs, inference=True)
    page = Tables(result._repr_html_())
    heatmap, pairs = page.tables
    assert "Comparison(3 representations, 3 pairs, 30 examples, unbiased)" in page.texts
    assert heatmap[:3] == [
        [name, *(f"{value:.2f}" for value in row)]
        for name, row in zip("abc", result.cka, strict=True)
    ]
    assert heatmap[3] == ["", "a", "b", "c"]
    order = sorted([(0, 1), (0, 2), (1, 2)], key=lambda pair: -result.cka[pair])
    assert pairs[0] == ["", "", "CKA", "p"]
    assert pairs[1:] == [
        ["abc"[i], "abc"[j], f"{result.cka[i, j]:.3f}", f"{result.p_value[i, j]:.2g}"]
        for i, j in order
    ]


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", '"><img src=x onerror=y>', "a & b'"])
def test_labels_are_escaped(rng, name):
    xs = {name: rng.standard_normal((10, 2)), "other": rng.standard_normal((10, 2))}
    for shown in (fastcka.compare(xs), fastcka.compare(xs, xs)):
        page = Tables(shown._repr_html_())
        assert page.tags <= {"div", "style", "p", "table", "tr", "th", "td", "span"}
        assert page.tables[0][0][0] == name
        assert name in page.tables[1][1]


def test_large_and_undefined(rng):
    xs = {f"r{i}": rng.standard_normal((10, 2)) for i in range(30)}
    result = fastcka.compare({"one": np.ones((10, 1)), **xs})
    page = Tables(result._repr_html_())
    heatmap, pairs = page.tables
    assert len(heatmap) == 25
    assert {len(row) for row in heatmap} == {25}
    assert heatmap[0] == ["one", *["–"] * 24]
    assert "The first 24 of 31 rows and 24 of 31 columns; plot() draws all." in page.texts
    assert len(pairs) == 11
    largest = np.sort(result.cka[np.triu_indices(31, 1)])  # NaN last
    largest = largest[np.isfinite(largest)][-10:][::-1]
    assert [row[2] for row in pairs[1:]] == [f"{value:.3f}" for value in largest]
    assert len(fastcka.compare(list(xs.values()) * 9)._repr_html_()) < 80_000


def test_one_representation_and_two_sets(rng):
    x, y, z = rng.standard_normal((3, 10, 2))
    assert len(Tables(fastcka.compare([x])._repr_html_()).tables) == 1
    heatmap, pairs = Tables(fastcka.compare({"x": x}, {"y": y, "z": z})._repr_html_()).tables
    assert [row[0] for row in heatmap] == ["x", ""]
    assert heatmap[1] == ["", "y", "z"]
    assert {tuple(row[:2]) for row in pairs[1:]} == {("x", "y"), ("x", "z")}


def test_html_needs_no_matplotlib(rng, monkeypatch):
    for module in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, module, None)
    result = fastcka.compare([rng.standard_normal((10, 2)) for _ in range(3)])
    assert "<table" in result._repr_html_()
    with pytest.raises(MissingExtraError, match=r"drawing needs matplotlib, .* \[report\]"):
        result.plot()


def test_figures_are_shown_as_pictures(rng):
    result = fastcka.compare([rng.standard_normal((10, 2)) for _ in range(3)])
    curve = fastcka.curve([rng.standard_normal((64, 2)) for _ in range(3)])
    for figure in (result.plot(), result.plot_map(), result.plot_dendrogram(), curve.plot()):
        png = figure._repr_png_()
        assert png.startswith(b"\x89PNG")
        width = int.from_bytes(png[16:20], "big")
        assert width == pytest.approx(figure.get_size_inches()[0] * 150, abs=1)
        assert pickle.loads(pickle.dumps(figure)).axes
        assert getattr(figure, "number", None) is None  # pyplot numbers the figures that it keeps


def test_blocks_of_a_label_field(rng):
    labels = [{"model": m, "layer": i} for m in ("a", "b") for i in range(3)]
    xs = [rng.standard_normal((10, 2)) for _ in labels]
    result = fastcka.compare(xs, labels=labels)

    def lines(figure):
        return [
            (line.get_xdata()[0] if line.get_xdata()[0] == line.get_xdata()[1] else None)
            for line in figure.axes[0].get_lines()
        ]

    assert [x for x in lines(result.plot(blocks="model")) if x is not None] == [2.5]
    assert [x for x in lines(result.plot(blocks="layer")) if x is not None] == [
        *(0.5, 1.5, 2.5, 3.5, 4.5)
    ]
    crossed = fastcka.compare(xs[:3], xs, labels=(labels[:3], labels))
    assert [x for x in lines(crossed.plot(blocks="model")) if x is not None] == [2.5]
    with pytest.raises(InputError, match="blocks: there is no label field 'modle'; did you mean"):
        result.plot(blocks="modle")
    with pytest.raises(InputError, match=r"blocks.* 5"):
        result.plot(blocks=5)


def test_axes_of_a_caller(rng, tmp_path):
    result = fastcka.compare([rng.standard_normal((10, 2)) for _ in range(3)])
    figure = Figure()
    axes = figure.subplots(1, 2)
    assert result.plot(tmp_path / "both.png", ax=axes[0]) is axes[0]
    assert "n = 10 examples" in axes[0].get_xlabel()
    assert not axes[1].get_images()
    assert figure.get_supxlabel() == ""
    assert Path(tmp_path / "both.png").stat().st_size > 0
    for wrong in (axes, 5):
        for draw in (result.plot, result.plot_map, result.plot_dendrogram):
            with pytest.raises(InputError, match="ax: expected Axes of matplotlib, got"):
                draw(ax=wrong)
    part = Figure().subfigures(1, 2)[0].add_subplot()
    assert fastcka.compare({"x": np.eye(9)[:, :2]}, [np.eye(9)]).plot(ax=part) is part
    assert re.match("n = 9", part.get_xlabel())


def test_nothing_is_left_to_draw(rng):
    result = fastcka.compare([rng.standard_normal((10, 2)) for _ in range(2)]).partial([0, 1])
    with pytest.raises(InputError, match="there are no representations to draw"):
        result.plot()
    assert "0 representations" in result._repr_html_()
