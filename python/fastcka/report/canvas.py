"""What all figures share: the object API of matplotlib, colours, and the caption."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

from fastcka.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's blue and vermilion: told apart with every kind of colour blindness, and in grey.
FIRST = "#0072B2"
SECOND = "#D55E00"
MARKERS = "osD^vP*X"
_LETTERS_PER_INCH = 15  # of a caption, in its size; a wide letter takes more than its share


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError.of("drawing", "matplotlib", "report") from error
    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def finish(figure: Figure, title: str, caption: str) -> Figure:
    """Put the title above and the caption below, in lines that fit."""
    width = int(_LETTERS_PER_INCH * figure.get_figwidth())
    lines = "\n".join(fill(line, width) for line in caption.splitlines())
    figure.suptitle(plain(title), fontsize=11, x=0.01, ha="left")
    figure.supxlabel(plain(lines), fontsize=8, x=0.01, ha="left")
    return figure


def similarity_axis(axes: Axes) -> None:
    """Scale the vertical axis from 0 to 1, the same in every figure."""
    axes.set_ylim(-0.02, 1.02)
    axes.set_ylabel("CKA", fontsize=9)
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def line_colors(count: int) -> list[tuple[float, ...]]:
    """Return colours in order, without viridis's light end: pale yellow cannot be seen on white."""
    from matplotlib import colormaps

    return [colormaps["viridis"](0.82 * at / max(1, count - 1)) for at in range(count)]


def plain(text: str) -> str:
    """Keep matplotlib from reading `$` in a name as mathematics."""
    return text.replace("$", r"\$")


def outside(values: list[float]) -> str:
    """Return a remark on values that the fixed scale does not show, or nothing."""
    out = [value for value in values if value < -0.02 or value > 1.02]
    return f"\n{len(out)} values outside the scale" if out else ""
