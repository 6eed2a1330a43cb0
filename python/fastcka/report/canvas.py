"""Shared parts of all figures: colours, markers, axes, titles and captions."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from fastcka.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

# Okabe and Ito's blue and vermilion: distinct in grey and with every kind of colour blindness.
FIRST = "#0072B2"
SECOND = "#D55E00"
MARKERS = "osD^vP*X"
_LETTERS_PER_INCH = 15  # in a caption; below the mean, because letters differ in width


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError.of("drawing", "matplotlib", "report") from error
    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def finish(figure: Figure, title: str, caption: str) -> Figure:
    """Add the title above and the caption below; lines are wrapped to the width of the figure."""
    width = int(_LETTERS_PER_INCH * figure.get_figwidth())
    lines = "\n".join(fill(line, width) for line in caption.splitlines())
    figure.suptitle(plain(title), fontsize=11, x=0.01, ha="left")
    figure.supxlabel(plain(lines), fontsize=8, x=0.01, ha="left")
    return figure


def similarity_axis(axes: Axes, *, fitted: Sequence[float] = ()) -> None:
    """Scale the vertical axis from 0 to 1, or to the range of the ``fitted`` values."""
    low, high = (min(fitted), max(fitted)) if fitted else (0.0, 1.0)
    margin = 0.05 * (high - low) if fitted and high > low else 0.02
    axes.set_ylim(low - margin, high + margin)
    axes.set_ylabel("CKA", fontsize=9)
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def line_colors(count: int) -> list[tuple[float, ...]]:
    """Return ``count`` colours of viridis, without pale yellow, which is invisible on white."""
    from matplotlib import colormaps

    return [colormaps["viridis"](0.82 * i / max(1, count - 1)) for i in range(count)]


def spread(count: int) -> NDArray[np.float64]:
    """Return offsets (count,) from -0.5 to 0.5 that separate points; the same in every run.

    They are evenly spread and do not depend on the values (multiples of the golden ratio).
    """
    return np.asarray((np.arange(count) * 0.6180339887) % 1 - 0.5, np.float64)


def plain(text: str) -> str:
    """Escape `$`, which matplotlib would read as the start of mathematics."""
    return text.replace("$", r"\$")


def outside(values: list[float]) -> str:
    """Return a line for the caption if values are outside the axis, else an empty text."""
    out = [value for value in values if value < -0.02 or value > 1.02]
    return f"\n{len(out)} values are outside the axis." if out else ""
