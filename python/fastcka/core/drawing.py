"""Heatmaps, maps and trees of comparisons."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fastcka.dendrogram import draw_dendrogram
from fastcka.errors import InputError
from fastcka.figures import write_figure
from fastcka.heatmap import draw_heatmap
from fastcka.near_misses import near_misses
from fastcka.point_map import draw_map

if TYPE_CHECKING:
    from fastcka.core.comparison import Comparison
    from fastcka.core.estimators import Estimator
    from fastcka.core.geometry import Distance, Linkage
    from fastcka.figures import Axes, Figure


def draw_comparison(
    comparison: Comparison,
    n_rows: int | None,
    path: str | os.PathLike[str] | None,
    title: str | None,
    estimator: Estimator | None,
    *,
    mark_chance: bool,
    blocks: str | None,
    ax: Axes | None,
) -> Figure | Axes:
    """Draw a heatmap; see `Comparison.plot`.

    ``n_rows`` is None for the square matrix. Otherwise the first ``n_rows`` representations are
    the rows, and all others are the columns.
    """
    marked = None
    if mark_chance:
        if comparison.calibrated is None or estimator not in (None, comparison.estimator):
            raise InputError(
                "mark_chance needs a comparison with inference=True, drawn by the estimator of the "
                "comparison"
            )
        marked = comparison.calibrated == 0
    used = comparison.estimator if estimator is None else estimator
    rows, columns = (
        (slice(None), slice(None)) if n_rows is None else (slice(n_rows), slice(n_rows, None))
    )
    labels, names = comparison.labels, comparison.names
    figure = draw_heatmap(
        comparison.matrix_by(used)[rows, columns],
        names[rows],
        columns=None if n_rows is None else names[columns],
        title=title,
        estimator=used,
        n_examples=comparison.n_examples,
        blocks=None if blocks is None else block_starts(labels[rows], blocks),
        column_blocks=None if blocks is None else block_starts(labels[columns], blocks),
        marked=None if marked is None else marked[rows, columns],
        ax=ax,
    )
    return _written(figure, path, ax)


def draw_points(
    comparison: Comparison,
    path: str | os.PathLike[str] | None,
    kind: Distance,
    color: str | None,
    title: str | None,
    ax: Axes | None,
) -> Figure | Axes:
    """Draw the representations in a plane; see `Comparison.plot_map`."""
    values = None if color is None else (color, _values(comparison.labels, color, "color"))
    embedding = comparison.embed(2, kind=kind)
    figure = draw_map(
        embedding.coordinates,
        comparison.names,
        caption=f"{_axis(comparison, kind)}, stress {embedding.stress:.2g}",
        title=title,
        color=values,
        ax=ax,
    )
    return _written(figure, path, ax)


def draw_tree(
    comparison: Comparison,
    path: str | os.PathLike[str] | None,
    method: Linkage,
    kind: Distance,
    title: str | None,
    ax: Axes | None,
) -> Figure | Axes:
    """Draw a hierarchical clustering; see `Comparison.plot_dendrogram`."""
    figure = draw_dendrogram(
        comparison.cluster(method, kind=kind),
        comparison.names,
        caption=f"{_axis(comparison, kind)}, {method} linkage",
        title=title,
        ax=ax,
    )
    return _written(figure, path, ax)


def _axis(comparison: Comparison, kind: Distance) -> str:
    if kind == "procrustes":
        return "Procrustes distance (radians)"
    unit = " (radians)" if kind == "angular" else ""
    return f"{kind} distance{unit} of {comparison.estimator} CKA"


def _written(figure: Figure, path: str | os.PathLike[str] | None, ax: Axes | None) -> Figure | Axes:
    if path is not None:
        write_figure(figure, path)
    return figure if ax is None else ax


def _values(labels: Sequence[Mapping[str, Any]], field: str, argument: str) -> list[Any]:
    """Return the values of a label field."""
    known = list(dict.fromkeys(name for label in labels for name in label))
    if field not in known:
        raise InputError(
            f"{argument}: there is no label field {field!r}{near_misses(field, known)}"
        )
    return [label.get(field) for label in labels]


def block_starts(labels: Sequence[Mapping[str, Any]], field: str) -> list[int]:
    """Return the first position of each run of representations with equal values of a field."""
    values = _values(labels, field, "blocks")
    return [i for i, value in enumerate(values) if i == 0 or value != values[i - 1]]
