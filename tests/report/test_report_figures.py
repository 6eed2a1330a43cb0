"""The figures: titles, captions, labels and points."""

from __future__ import annotations

import pytest

from fastcka.report.blocks import blocks
from fastcka.report.comparisons import comparisons
from fastcka.report.data import ReportData
from fastcka.report.facts import read_facts
from fastcka.report.items import Drawing
from fastcka.report.matrices import matrices
from fastcka.report.roles import find_roles
from fastcka.report.timelines import timelines
from fastcka.report.trends import trends
from fastcka.stats import read_results

CAPTION = (
    "4,413 examples · 256 features · unbiased CKA · example filter: region:^(?!Atlantis).* · "
    "pooling: not recorded"
)


def data_of(folder):
    facts = read_facts(folder)
    table = read_results(folder, order=facts.order)
    return ReportData.of(table, facts, find_roles(table), all_steps=True, permutations=99)


@pytest.fixture
def draw(results_folder, models, planted):
    def make(view, **options):
        options.setdefault("layers", ("3", "4"))
        value = options.pop("value", planted)
        folder = results_folder(
            models, value, config={"examples": "region:^(?!Atlantis).*"}, **options
        )
        data = data_of(folder)
        return [item for item in view(data) if isinstance(item, Drawing)]

    return make


def texts(axis_labels):
    return [label.get_text() for label in axis_labels]


@pytest.mark.parametrize("view", [matrices, blocks, comparisons, trends, timelines])
def test_every_caption_has_examples_features_estimator_and_filter(draw, view):
    drawings = draw(view, steps=(10, 100))
    assert drawings
    for drawing in drawings:
        assert CAPTION in " ".join(drawing.figure.get_supxlabel().split())


def test_the_matrix_has_every_label_and_a_fixed_scale(draw):
    drawing = draw(matrices, keep=lambda a, b: a["seed"] != b["seed"])[0]
    axes, bar = drawing.figure.axes
    names = [
        f"{v} · seed {s}" for v, third in (("a", 2), ("b", 3), ("c", 2)) for s in (1, third, "orig")
    ]
    assert texts(axes.get_xticklabels()) == texts(axes.get_yticklabels()) == names
    assert axes.images[0].get_clim() == (0, 1)
    assert bar.get_ylabel() == "CKA (unbiased)"
    # Hatched: the 9 x 9 cells without the diagonal and the compared pairs.
    compared = 2 * (36 - 3 - 3 - 1)
    assert len(axes.collections[0].get_paths()) == 81 - 9 - compared
    assert f"{81 - 9 - compared} cells without a value" in drawing.figure.get_supxlabel()
    shown = axes.images[0].get_array()
    assert shown.mask.sum() == 81 - compared


def test_block_means_show_mean_sem_and_n(draw):
    drawing = draw(blocks, value=lambda a, b, *_: 0.75)[0]
    cells = [text.get_text() for text in drawing.figure.axes[0].texts]
    assert cells[0] == "0.75\n±0.000\n(3)"
    assert cells[1] == "0.75\n±0.000\n(9)"
    assert texts(drawing.figure.axes[0].get_xticklabels()) == ["a", "b", "c"]


def test_comparisons_show_every_pair(draw):
    drawing = draw(comparisons)[0]
    upper, lower = drawing.figure.axes
    counts = [len(collection.get_offsets()) for collection in upper.collections]
    assert counts == [9, 20, 9, 20]  # cross-seed pairs, at two layers
    assert upper.get_ylim() == pytest.approx((-0.02, 1.02))
    assert texts(upper.get_legend().get_texts()) == ["same variant", "different variant"]
    labels = texts(lower.get_xticklabels())
    assert [label.split("\n")[0] for label in labels] == ["layer 3", "layer 4"]
    assert all("\np = " in label for label in labels)
    assert texts(upper.get_xticklabels())[1].endswith("n = 20")


def test_the_trend_has_a_mean_for_each_layer_and_the_pairs_as_points(draw):
    (drawing,) = draw(trends)
    same, different = drawing.figure.axes
    assert texts(different.get_legend().get_texts()) == ["layer 3", "layer 4"]
    assert texts(same.get_xticklabels()) == ["PT2\nn = 9", "PT3\nn = 9"]
    points = [len(c.get_offsets()) for c in different.collections if len(c.get_offsets()) > 2]
    assert points == [20, 20, 20, 20]


@pytest.mark.parametrize(
    ("names", "order", "connected"),
    [
        (("PT2", "PT3"), {}, False),
        (("PT2", "PT3"), {"family": ["PT3", "PT2"]}, True),
        (("PT2", "PT3"), {"family": ["PT3"]}, False),
        (("10", "9"), {}, True),
    ],
)
def test_lines_connect_ordered_families_only(results_folder, models, names, order, connected):
    renamed = {
        name: labels | {"family": names[labels["family"] == "PT3"]}
        for name, labels in models.items()
    }
    folder = results_folder(renamed, lambda *_: 0.5, config={"compare": {"order": order}})
    data = data_of(folder)
    (drawing,) = (item for item in trends(data) if isinstance(item, Drawing))
    means = [line for axes in drawing.figure.axes for line in axes.lines if len(line.get_xdata())]
    styles = {line.get_linestyle() for line in means if line.get_marker() == "o"}
    assert styles == ({"-"} if connected else {"None"})


def test_a_comparison_without_a_p_value_gives_the_reason(draw):
    # Cross-seed pairs of 2 variants and 2 seeds have 4 labellings; 2 of them only swap the names.
    def few(a, b):
        return a["seed"] != b["seed"] and all(
            labels["seed"] in ("orig", 1) and labels["variant"] in "ab" for labels in (a, b)
        )

    drawing = draw(comparisons, keep=few)[0]
    labels = texts(drawing.figure.axes[1].get_xticklabels())
    assert labels == ["layer 3\nno p-value", "layer 4\nno p-value"]
    caption = drawing.figure.get_supxlabel()
    assert "4 relabellings, which cannot give p below 0.5." in " ".join(caption.split())
    assert "permutation test" not in caption
    assert "No interval: 4 models with 4 pairs are too few" in " ".join(caption.split())
    assert "95% interval" not in caption


def test_a_timeline_has_a_band(draw):
    drawing = draw(timelines, steps=(0, 50, 100))[0]
    same, different = drawing.figure.axes
    assert len(same.collections) == 2  # a band for each layer
    assert list(same.lines[0].get_xdata()) == [0, 50, 100]
    assert "Band: lowest and highest" in drawing.figure.get_supxlabel()
    assert different.get_title(loc="left").startswith("different variant")


def test_a_dollar_in_a_name_is_drawn_as_text(results_folder, planted):
    names = {f"$x_{{{v}}}$-{v}-{s}": {"variant": f"$v_{v}$", "seed": s} for v in "ab" for s in "12"}
    folder = results_folder(names, planted)
    data = data_of(folder)
    for view in (matrices, blocks, comparisons):
        for item in view(data):
            if isinstance(item, Drawing):
                item.figure.canvas.draw()
                labels = texts(item.figure.axes[0].get_yticklabels())
                assert not [text for text in labels if "$" in text.replace(r"\$", "")]
