"""Draw values over a number as lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastcka.figures import axes_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fastcka.figures import Axes, Figure

_MOST_NAMES = 12
"""With more lines, the legend would be too long: all lines are grey and none is named."""


def draw_lines(
    x: NDArray[np.int64],
    lines: Sequence[NDArray[np.float64]],
    names: Sequence[str],
    *,
    title: str | None,
    x_label: str,
    y_label: str,
    ax: Axes | None = None,
) -> Figure:
    """Draw each line over ``x``, which has a logarithmic scale.

    Parameters
    ----------
    x
        (S,) numbers above zero.
    lines
        Arrays of shape (S,).
    names
        The name of each line.
    title
        Title above the lines, or None.
    x_label, y_label
        Labels of the axes.
    ax
        Axes to draw into. Default: those of a new figure.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    axes, figure = axes_of(ax, 6.0, 4.0)
    named = len(lines) <= _MOST_NAMES
    for values, name in zip(lines, names, strict=True):
        if named:
            axes.plot(x, values, marker="o", markersize=3, label=name)
        else:
            axes.plot(x, values, color="0.3", alpha=0.4, linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xticks(list(x), [str(each) for each in x], minor=False)
    axes.minorticks_off()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    if title is not None:
        axes.set_title(title)
    if named and lines and ax is None:
        figure.legend(fontsize=7, loc="outside right upper")
    elif named and lines:
        axes.legend(fontsize=7)
    return figure
