"""The heatmap of a group: its scale, caption and labels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.image import imread

import oracle
from fastcka.errors import InputError
from fastcka.heatmap import draw_heatmap, save_png
from fastcka.stats import read_results
from fastcka.sweep import run_sweep
from fastcka.sweep.results.names import model_names


def _draw(matrix, labels=None, **options):
    labels = labels or [f"m{number}" for number in range(len(matrix))]
    defaults = {"title": "layer=fc", "estimator": "unbiased", "n_examples": 1797}
    return draw_heatmap(np.asarray(matrix, float), labels, **(defaults | options))


def _blocks(count, size):
    variant = np.arange(count) // size
    return np.where(variant[:, None] == variant, 0.9, 0.2)


def test_the_color_scale_is_fixed_and_named():
    axes, bar = _draw([[1, 0.4], [0.4, 1]]).axes
    assert axes.images[0].get_clim() == (0, 1)
    assert bar.get_ylabel() == "CKA (unbiased)"
    assert axes.get_title(loc="left") == "layer=fc"
    assert [text.get_text() for text in axes.texts] == ["1.00", "0.40", "0.40", "1.00"]


def test_the_caption_gives_n_and_counts_values_outside_the_scale():
    caption = _draw([[1, -0.25], [-0.25, 1]]).get_supxlabel()
    assert caption == "n = 1,797 examples\n2 cells outside the scale (-0.25 to -0.25)"
    assert _draw([[1, 0.5], [0.5, 1 + 2e-16]]).get_supxlabel() == "n = 1,797 examples"


def test_cells_without_a_value_are_hatched():
    matrix = _blocks(6, 3)
    matrix[2, :] = matrix[:, 2] = np.nan
    figure = _draw(matrix)
    (hatched,) = (c for c in figure.axes[0].collections if isinstance(c, PolyCollection))
    assert hatched.get_hatch() == "////"
    corners = {tuple(path.vertices[0] + 0.5) for path in hatched.get_paths()}
    assert corners == {(x, y) for x in range(6) for y in range(6) if 2 in (x, y)}
    assert "11 cells without a value" in figure.get_supxlabel()
    assert figure.axes[0].get_legend() is not None


def test_lines_separate_blocks_of_the_leading_field():
    labels = [f"v{number // 3} seed{number % 3}" for number in range(9)]
    lines = {line.get_ydata()[0] for line in _draw(_blocks(9, 3), labels).axes[0].lines}
    assert {2.5, 5.5} <= lines
    assert not _draw(_blocks(4, 2)).axes[0].lines
    mixed = ["v0 a", "v0 b", "v1 a", "v0 c"]
    assert not _draw(_blocks(4, 2), mixed).axes[0].lines


@pytest.mark.parametrize("count", [2, 21, 64])
def test_every_label_is_legible(count):
    labels = [f"variant{number // 3} seed{number % 3}" for number in range(count)]
    figure = _draw(_blocks(count, 3), labels)
    figure.draw_without_rendering()  # lays it out
    ticks = figure.axes[0].get_yticklabels()
    assert [tick.get_text() for tick in ticks] == labels
    boxes = [tick.get_window_extent() for tick in ticks]
    for upper, lower in itertools.pairwise(boxes):
        assert upper.y0 >= lower.y1 - 0.5
    assert min(box.x0 for box in boxes) >= 0
    assert min(tick.get_fontsize() for tick in ticks) >= 7


def test_many_labels_are_thinned_by_blocks_and_counted():
    labels = [f"variant{number // 3} seed{number % 3}" for number in range(150)]
    figure = _draw(_blocks(150, 3), labels)
    shown = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert shown == [f"variant{variant} seed0" for variant in range(50)]
    assert "100 labels omitted" in figure.get_supxlabel()
    assert max(figure.get_size_inches()) < 20


def test_a_dollar_in_a_name_is_drawn_as_text():
    figure = _draw([[1, 0.5], [0.5, 1]], ["$\\frac$", "a$b$"], title="$cost$")
    figure.draw_without_rendering()
    axes = figure.axes[0]
    upper, lower = axes.get_yticklabels()
    (title,) = (text for text in axes.get_children() if "cost" in getattr(text, "_text", ""))
    for drawn, text in [(upper, "$\\frac$"), (lower, "a$b$"), (title, "$cost$")]:
        plain = figure.text(0, 0, text, parse_math=False, fontproperties=drawn.get_fontproperties())
        assert drawn.get_window_extent().width == plain.get_window_extent().width


def test_a_matrix_of_another_shape_is_refused():
    with pytest.raises(InputError, match=r"expected shape \(3, 3\) for 3 labels, got \(2, 2\)"):
        _draw(np.ones((2, 2)), ["a", "b", "c"])


def test_cells_without_a_comparison_are_grey_and_explained(trained, config_for, monkeypatch):
    drawn = []

    def draw(*arguments, **options):
        drawn.append((arguments, options, draw_heatmap(*arguments, **options)))
        return drawn[-1][-1]

    monkeypatch.setattr("fastcka.sweep.results.figures.draw_heatmap", draw)
    run_sweep(config_for(within=["layer"], differ=["seed"], steps="final_each"))
    (matrix, labels), options, figure = drawn[0]
    seeds = [label.split(" · ")[1].removeprefix("seed ") for label in labels]
    assert sorted(seeds) == ["1", "1", "2", "2", "orig", "orig"]
    for a, b in itertools.product(range(6), repeat=2):
        compared = a == b or seeds[a] != seeds[b]
        assert np.isfinite(matrix[a, b]) == compared
        assert options["blank"][a, b] == (not compared)
    assert "grey: not compared in this sweep" in figure.get_supxlabel()
    assert "without a value" not in figure.get_supxlabel()
    drawn.clear()
    run_sweep(config_for(within=["layer"], steps="final_each"))
    assert np.isfinite(drawn[0][0][0]).all()
    assert "grey" not in drawn[0][2].get_supxlabel()


@pytest.fixture
def drawn(monkeypatch):
    """The matrices, row labels and options of the heatmaps that a sweep draws."""
    calls = []

    def draw(matrix, labels, **options):
        calls.append((matrix, labels, options))
        return draw_heatmap(matrix, labels, **options)

    monkeypatch.setattr("fastcka.sweep.results.figures.draw_heatmap", draw)
    return calls


def test_a_sweep_of_two_sides_is_a_rectangle(trained, config_for, drawn):
    sides = {"left": {"variant": "b"}, "right": {"variant": "a", "seed": [1, 2]}}
    run_sweep(config_for(compare={"within": ["layer"], **sides, "steps": [0]}))
    for (matrix, rows, options), layer in zip(drawn, ("conv", "fc"), strict=True):
        assert rows == ["b · seed 1", "b · seed 2", "b · seed orig"]
        assert options["columns"] == ["a · seed 1", "a · seed 2"]
        expected = [
            [
                oracle.cka(trained[b, 0, layer], trained[a, 0, layer], "unbiased")
                for a in ("a_1", "a_2")
            ]
            for b in ("b_1", "b_2", "b_orig")
        ]
        np.testing.assert_allclose(matrix, expected, atol=1e-6)
        assert options["blank"] is None


def test_a_sweep_whose_sides_overlap_is_a_square(trained, config_for, drawn):
    sides = {"left": {"variant": "b"}, "right": {}}
    run_sweep(config_for(compare={"within": ["layer"], **sides, "steps": "final_each"}))
    matrix, rows, options = drawn[0]
    assert matrix.shape == (6, 6)
    assert len(rows) == 6
    assert options["columns"] is None


def test_rows_have_the_names_of_the_report(trained, config_for, drawn, tmp_path):
    run_sweep(config_for(within=["layer", "step"], steps=[0]))
    run_sweep(config_for(within=["step", "variant"], steps=[0], output=tmp_path / "layers"))
    names = ["a · seed 1", "a · seed 2", "a · seed orig"]
    names += [name.replace("a ", "b ", 1) for name in names]
    assert drawn[0][1] == names
    layers = ("conv", "fc")
    assert drawn[2][1] == [f"seed {s} · {layer}" for s in (1, 2, "orig") for layer in layers]
    assert drawn[2][2]["blocks"] == [0, 2, 4]  # a block for each model
    table = read_results(tmp_path / "out")
    assert list(model_names(table.models(), ("variant", "seed")).values()) == names


def test_a_figure_drawn_once_equals_the_one_that_matplotlib_saves(tmp_path):
    matrix = _blocks(30, 5)
    matrix[3, 4] = np.nan
    for name, save in {
        "once.png": save_png,
        "twice.png": lambda figure, path: figure.savefig(path),
    }.items():
        save(
            _draw(matrix, [f"variant {number // 5} seed {number % 5}" for number in range(30)]),
            tmp_path / name,
        )
    once, twice = (imread(tmp_path / name) for name in ("once.png", "twice.png"))
    np.testing.assert_array_equal(once, twice)
