"""Draw representations as points in a plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastcka.errors import InputError
from fastcka.figures import axes_of, plain_text, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fastcka.figures import Axes, Figure

_MOST_NAMES = 40
"""With more points, names would hide each other; they are omitted."""
_MOST_COLORS = 20
"""Of matplotlib's palette tab20."""


def draw_map(
    points: NDArray[np.float64],
    names: Sequence[str],
    *,
    caption: str,
    title: str | None,
    color: tuple[str, Sequence[Any]] | None,
    ax: Axes | None,
) -> Figure:
    """Draw points with their names, at the same scale in both directions.

    Parameters
    ----------
    points
        (M, 2) coordinates.
    names
        M names; with more than 40 they are omitted.
    caption
        Text below the points.
    title
        Title above them, or None.
    color
        A label field and its M values. Up to 20 values have a legend, more numbers a colour bar.
    ax
        Axes to draw into. Default: those of a new figure.

    Raises
    ------
    InputError
        More than 20 values that are not all numbers.
    MissingExtraError
        matplotlib is not installed.
    """
    axes, figure = axes_of(ax, 6.5, 5.5)
    x, y = points.T
    if color is None:
        axes.scatter(x, y, s=30, color="tab:blue", zorder=2)
    else:
        _scatter_by(axes, x, y, *color)
    if len(names) <= _MOST_NAMES:
        _write_names(axes, points, names)
    else:
        caption = f"{caption}; {len(names)} names omitted"
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.15)
    axes.grid(color="0.92")
    axes.tick_params(labelsize=8)
    axes.set_xlabel(caption, fontsize=8, loc="left")
    if title is not None:
        axes.set_title(plain_text(shortened(title)), fontsize=11, loc="left")
    return figure


def _write_names(axes: Axes, points: NDArray[np.float64], names: Sequence[str]) -> None:
    """Write each name on the side of its point that is away from the nearest other point."""
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    np.fill_diagonal(distances, np.inf)
    for point, nearest, name in zip(points, points[distances.argmin(1)], names, strict=True):
        right, above = point >= nearest
        axes.annotate(
            plain_text(shortened(name)),
            point,
            xytext=(4 if right else -4, 3 if above else -3),
            textcoords="offset points",
            ha="left" if right else "right",
            va="bottom" if above else "top",
            fontsize=7,
        )


def _scatter_by(
    axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64], field: str, values: Sequence[Any]
) -> None:
    distinct = list(dict.fromkeys(map(_text, values)))
    if len(distinct) <= _MOST_COLORS:
        from matplotlib import colormaps

        palette = colormaps["tab10" if len(distinct) <= 10 else "tab20"]
        for i, text in enumerate(distinct):
            chosen = np.array([_text(value) == text for value in values])
            label = plain_text(shortened(text))
            axes.scatter(x[chosen], y[chosen], s=30, color=[palette(i)], label=label, zorder=2)
        axes.legend(title=plain_text(field), fontsize=7, title_fontsize=8)
        return
    if not all(isinstance(value, int | float) for value in values):
        raise InputError(
            f"color: expected a label field with at most {_MOST_COLORS} values, or with numbers; "
            f"{field!r} has {len(distinct)} values"
        )
    shown = axes.scatter(x, y, s=30, c=np.asarray(values, np.float64), cmap="viridis", zorder=2)
    bar = axes.figure.colorbar(shown, ax=axes, fraction=0.05, pad=0.03)
    bar.set_label(plain_text(field), fontsize=9)


def _text(value: Any) -> str:
    return "none" if value is None else str(value)
