"""The figures of an analysis. All but the filters are drawn from the JSON file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastcka.errors import MissingExtraError
from fastcka.evolution.schema import Analysis
from fastcka.files import replaced_stream

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIGURES = ("filters", "features", "activations")
"""The figures of an experiment are ``<experiment>_<figure>.png``."""

_FILTERS_SHOWN = 16
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError.of("drawing", "matplotlib", "report") from error
    return Figure(figsize=(width, height), dpi=130, layout="constrained")


def save(figure: Figure, path: Path) -> Path:
    """Write a figure; the file is complete or does not exist."""
    with replaced_stream(path) as file:
        figure.savefig(file, format="png")
    return path


def draw_filters(
    analysis: Analysis, first: str, by_phase: Mapping[str, NDArray[np.float64]]
) -> Figure:
    """Draw the filters of one tensor at each phase, and the cosines of all filters of all tensors.

    Parameters
    ----------
    analysis
        The analysis, as read from its file.
    first
        The tensor whose filters are drawn.
    by_phase
        Phase -> its values, (n_filters, ...).
    """
    tensors = {
        name: tensor["filters"]
        for name, tensor in analysis["weights"].items()
        if "filters" in tensor
    }
    figure = new_figure(12, 2.4 + 0.9 * len(by_phase) + 0.26 * len(tensors))
    top, below = figure.subfigures(
        2, 1, squeeze=False, height_ratios=[0.9 * len(by_phase) + 0.4, 2 + 0.26 * len(tensors)]
    )[:, 0]
    _filter_rows(top, first, by_phase)
    pairs = list(next(iter(tensors.values())))
    grid = below.subplots(1, len(pairs), sharey=True, squeeze=False)[0]
    for axes, pair in zip(grid, pairs, strict=True):
        values = [
            [value for value in cosines[pair] if value is not None] for cosines in tensors.values()
        ]
        axes.boxplot(
            values, orientation="horizontal", widths=0.6, sym=".", medianprops={"color": _COLORS[1]}
        )
        axes.set_yticks(range(1, len(tensors) + 1), [_plain(name) for name in tensors], fontsize=7)
        axes.set_title(pair.replace("_", " "), fontsize=9)
        axes.set_xlim(-1.05, 1.05)
        axes.invert_yaxis()
        axes.set_xlabel("cosine of each filter", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(axis="x", color="0.9")
    return _titled(figure, analysis, "filters at each phase")


def draw_features(analysis: Analysis) -> Figure:
    """Draw the diversity of the filters and, for a transformer, the attention of each head."""
    attention = analysis["attention"]
    phases = list(analysis["phases"])
    diverse = {
        name: tensor["diversity"]
        for name, tensor in analysis["weights"].items()
        if "diversity" in tensor
    }
    heads = max(
        (len(facts["entropy"]) for layer in attention.values() for facts in layer.values()),
        default=0,
    )
    figure = new_figure(12, 3 + 0.2 * len(diverse) + (2.2 + 1.3 * len(attention) if heads else 0))
    parts = figure.subfigures(
        2 if heads else 1,
        1,
        squeeze=False,
        height_ratios=[3 + 0.2 * len(diverse), *([2.2 + 1.3 * len(attention)] if heads else [])],
    )[:, 0]
    grid = parts[0].subplots(1, 2, sharey=True)
    for axes, field in zip(grid, ("effective_rank", "participation_ratio"), strict=True):
        for row, diversity in enumerate(diverse.values()):
            for i, (phase, measures) in enumerate(diversity.items()):
                _with_null(axes, measures[field], row + 0.2 * i, i, phase if row == 0 else None)
        axes.set_yticks(range(len(diverse)), [_plain(name) for name in diverse], fontsize=7)
        axes.set_title(f"{field.replace('_', ' ')} of filters (grey: permuted weights)", fontsize=9)
        axes.tick_params(labelsize=7)
        axes.set_xlim(left=0)
    if diverse:
        grid[0].invert_yaxis()
        grid[0].legend(fontsize=7, frameon=False)
    if heads:
        _attention_rows(parts[1], attention, phases, heads)
    what = "attention and diversity" if heads else "diversity of filters"
    return _titled(figure, analysis, what)


def draw_activations(analysis: Analysis) -> Figure:
    """Draw the CKA of each layer between all steps, and its share of zeros at each phase."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    layers = analysis["activations"]
    columns = min(4, len(layers) + 1)
    rows = -(-(len(layers) + 1) // columns)
    figure = new_figure(3.1 * columns + 0.8, 2.9 * rows + 0.5)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    image = ScalarMappable(Normalize(0, 1), "viridis")
    for axes, (name, layer) in zip(grid, layers.items(), strict=False):
        matrix = np.array(layer["cka_by_step"], np.float64)
        axes.imshow(matrix, vmin=0, vmax=1, cmap="viridis")
        ticks = range(len(layer["steps"]))
        axes.set_xticks(ticks, layer["steps"], rotation=90, fontsize=6)
        axes.set_yticks(ticks, layer["steps"], fontsize=6)
        axes.set_title(_plain(name), fontsize=9)
        if len(matrix) <= 8:
            for (i, j), value in np.ndenumerate(matrix):
                shade = "white" if value < 0.6 else "black"
                axes.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=6, color=shade)
    figure.colorbar(image, ax=grid[: len(layers)].tolist(), label="CKA (unbiased)", shrink=0.6)
    axes = grid[len(layers)]
    for i, phase in enumerate(analysis["phases"]):
        zeros = [layer["sparsity"].get(phase, {}).get("zeros") for layer in layers.values()]
        shown = [np.nan if value is None else value for value in zeros]
        # No line: layers of branches, or layers that the user chose, have no order.
        x = np.arange(len(layers)) + 0.2 * (i - (len(analysis["phases"]) - 1) / 2)
        axes.plot(x, shown, "o", markersize=4, color=_color(i), label=phase)
    axes.set_xticks(range(len(layers)), [_plain(n) for n in layers], rotation=90, fontsize=6)
    axes.set_title("share of zero activations", fontsize=9)
    axes.set_ylim(-0.02, 1.02)
    axes.legend(fontsize=6, frameon=False)
    axes.tick_params(axis="y", labelsize=6)
    for axes in grid[len(layers) + 1 :]:
        axes.set_visible(False)
    return _titled(figure, analysis, "CKA of activations between steps")


def _filter_rows(part: Any, name: str, by_phase: Mapping[str, NDArray[np.float64]]) -> None:
    shape = next(iter(by_phase.values())).shape
    shown = min(_FILTERS_SHOWN, shape[0]) if len(shape) == 4 else 1
    limit = max(float(np.abs(values).max()) for values in by_phase.values()) or 1.0
    grid = part.subplots(len(by_phase), shown, squeeze=False)
    for row, (phase, values) in zip(grid, by_phase.items(), strict=True):
        # Filters of a convolution are drawn one by one, averaged over their input channels. Another
        # tensor is drawn as one picture with one row per filter.
        pictures = values[:shown].mean(axis=1) if len(shape) == 4 else [_matrix(values)]
        for axes, picture in zip(row, pictures, strict=True):
            axes.imshow(
                picture,
                vmin=-limit,
                vmax=limit,
                cmap="RdBu",
                aspect="auto" if shown == 1 else "equal",
            )
            axes.set_xticks([])
            axes.set_yticks([])
        row[0].set_ylabel(phase, fontsize=8)
    part.suptitle(
        _plain(f"{name}, {shown} of {shape[0]} filters" if shown > 1 else name), fontsize=9
    )


def _matrix(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values.reshape(len(values), -1)


def _with_null(
    axes: Axes, measure: Mapping[str, Any], y: float, color: int, label: str | None
) -> None:
    if measure["value"] is None:
        return
    null = measure["null"]
    if null["low"] is not None:
        axes.plot([null["low"], null["high"]], [y, y], color="0.75", linewidth=4)
    axes.plot([measure["value"]], [y], "o", markersize=4, color=_color(color), label=label)


def _color(i: int) -> str:
    return _COLORS[i % len(_COLORS)]


def _attention_rows(part: Any, attention: Mapping[str, Any], phases: list[str], heads: int) -> None:
    """Draw a row for each layer: the entropy of its heads at each phase, and their last maps."""
    grid = part.subplots(len(attention), heads + 1, squeeze=False)
    for row, (name, layer) in zip(grid, attention.items(), strict=True):
        shown = [phase for phase in phases if phase in layer]
        for head in range(len(layer[shown[0]]["entropy"])):
            row[0].plot(
                [layer[phase]["entropy"][head] for phase in shown],
                marker="o",
                markersize=3,
                color=_color(head),
                label=f"head {head}",
            )
            axes = row[head + 1]
            axes.imshow(
                np.array(layer[shown[-1]]["mean_map"][head], np.float64), cmap="magma", vmin=0
            )
            axes.set_title(f"head {head}, {shown[-1]}", fontsize=7)
            axes.set_xticks([])
            axes.set_yticks([])
        row[0].axhline(
            layer[shown[0]]["entropy_of_uniform"], color="0.7", linestyle="--", linewidth=1
        )
        row[0].set_ylim(bottom=0)
        row[0].set_xticks(range(len(shown)), shown, fontsize=7)
        row[0].set_ylabel(_plain(name), fontsize=7)
        row[0].tick_params(axis="y", labelsize=6)
        for axes in row[len(layer[shown[0]]["entropy"]) + 1 :]:
            axes.set_visible(False)
    grid[0][0].set_title("entropy in nats (dashed: uniform attention)", fontsize=7)


def _titled(figure: Figure, analysis: Analysis, what: str) -> Figure:
    steps = ", ".join(f"{name} {step:,}" for name, step in analysis["phases"].items())
    figure.suptitle(_plain(f"{analysis['experiment']}: {what} ({steps})"), fontsize=11)
    return figure


def _plain(text: str) -> str:
    return text.replace("$", r"\$")  # matplotlib would read `$` as the start of mathematics
