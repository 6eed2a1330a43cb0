"""The figure of the demo: all pairs at the last step, and similarity of seeds over steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastcka.demo.networks import LAYERS, Family
from fastcka.demo.summary import Pair, Place, mean_cka

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

# viridis without pale yellow, which is invisible on white.
_DEPTH_COLORS = np.linspace(0.0, 0.82, len(LAYERS["mlp"]))
_MARKERS = "osD^v"
_TITLES: dict[Family, str] = {"mlp": "MLP", "cnn": "CNN", "transformer": "Transformer"}


def draw_overview(path: Path, pairs: Sequence[Pair]) -> None:
    """Write the figure as PNG: a heatmap of the last step, and curves over all steps.

    A band contains all pairs of seeds. A dotted line is the value of the untrained networks.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    steps = sorted({pair.step for pair in pairs})
    families = [name for name in LAYERS if any(pair.a.family == name for pair in pairs)]
    spacing = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08)
    figure = Figure(figsize=(12.6, 7.4), dpi=150, layout=spacing)
    grid = figure.add_gridspec(len(families), 2, width_ratios=[1.75, 1])
    _heatmap(figure.add_subplot(grid[:, 0]), pairs, steps[-1])
    for row, family in enumerate(families):
        axes = figure.add_subplot(grid[row, 1])
        _curves(axes, pairs, steps, family)
        if row == len(families) - 1:
            axes.set_xlabel("training step (completed updates)")
    figure.savefig(path)


def cka_matrix_at(pairs: Sequence[Pair], step: int) -> tuple[list[Place], NDArray[np.float64]]:
    """Return the places at ``step``, sorted by family, depth and seed, and their CKA matrix.

    The diagonal is NaN.
    """
    here = [pair for pair in pairs if pair.step == step]
    order = list(LAYERS)
    places = sorted(
        {place for pair in here for place in (pair.a, pair.b)},
        key=lambda place: (order.index(place.family), place.depth, place.seed),
    )
    position = {place: i for i, place in enumerate(places)}
    matrix = np.full((len(places), len(places)), np.nan)
    for pair in here:
        i, j = position[pair.a], position[pair.b]
        matrix[i, j] = matrix[j, i] = pair.cka
    return places, matrix


def _heatmap(axes: Axes, pairs: Sequence[Pair], step: int) -> None:
    places, matrix = cka_matrix_at(pairs, step)
    axes.set_facecolor("0.75")  # cells without a value (the diagonal) are grey
    image = axes.imshow(matrix, vmin=0, vmax=1, cmap="viridis", interpolation="nearest")
    axes.figure.colorbar(image, ax=axes, shrink=0.6, pad=0.02, label="CKA (unbiased)")

    groups = [(place.family, place.depth) for place in places]
    starts = [i for i in range(len(groups)) if i == 0 or groups[i] != groups[i - 1]]
    ends = [*starts[1:], len(groups)]
    centers = [(start + end - 1) / 2 for start, end in zip(starts, ends, strict=True)]
    names = [LAYERS[groups[start][0]][groups[start][1]] for start in starts]
    axes.set_xticks(centers, names, rotation=90, fontsize=9)
    axes.set_yticks(centers, names, fontsize=9)
    axes.tick_params(length=0)
    for start in starts[1:]:
        new_family = groups[start][0] != groups[start - 1][0]
        for line in (axes.axhline, axes.axvline):
            line(start - 0.5, color="white", linewidth=2.5 if new_family else 0.5)
    for family in dict.fromkeys(name for name, _ in groups):
        inside = [i for i, (name, _) in enumerate(groups) if name == family]
        axes.text(
            float(np.mean(inside)),
            -1.2,
            _TITLES[family],
            ha="center",
            va="bottom",
            fontweight="bold",
        )
    n_seeds = len({place.seed for place in places})
    axes.set_title(
        f"Step {step}: all layers of all networks, with {n_seeds} seeds per layer", pad=26
    )


def _curves(axes: Axes, pairs: Sequence[Pair], steps: Sequence[int], family: Family) -> None:
    from matplotlib import colormaps

    for depth, layer in enumerate(LAYERS[family]):
        here = [pair for pair in pairs if _two_seeds(Place(family, 0, depth), pair)]
        means = [mean_cka(here, step) for step in steps]
        color = colormaps["viridis"](_DEPTH_COLORS[depth])
        if here:  # there are no pairs of a single seed
            by_step = [[pair.cka for pair in here if pair.step == step] for step in steps]
            low, high = (list(map(end, by_step)) for end in (np.nanmin, np.nanmax))
            axes.fill_between(range(len(steps)), low, high, color=color, alpha=0.18, linewidth=0)
        if steps[0] == 0:
            axes.axhline(means[0].value, color=color, linestyle=":", linewidth=1)
        axes.plot(
            range(len(steps)),
            [mean.value for mean in means],
            marker=_MARKERS[depth],
            markersize=5,
            color=color,
            label=layer,
        )
    axes.set_ylim(-0.03, 1.03)
    names = ["0\nuntrained" if step == 0 else str(step) for step in steps]
    axes.set_xticks(range(len(steps)), names)
    axes.set_ylabel("CKA between seeds")
    n_pairs = max(mean.n for mean in means)
    axes.set_title(
        f"{_TITLES[family]}: same layer, different seeds (mean and range of {n_pairs})", fontsize=10
    )
    axes.grid(axis="y", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)


def _two_seeds(place: Place, pair: Pair) -> bool:
    same = all((p.family, p.depth) == (place.family, place.depth) for p in (pair.a, pair.b))
    return same and pair.a.seed != pair.b.seed
