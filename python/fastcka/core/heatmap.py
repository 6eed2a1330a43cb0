"""A labelled CKA matrix as a figure."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from fastcka.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_CELL_INCHES = 0.19
"""Room for one row of 7-point text (0.097 inch) with air; larger where there are few rows."""
_MOST_LABELS = 72
"""Beyond this a figure would be over 14 inches wide: cells shrink and labels are thinned."""
_DPI = 150
_PIXEL_BYTES = 44
"""Measured; twice as much where a cell comes to a few pixels, and for each cell about as much."""
_NUMBERS_UP_TO = 12
"""Up to this many rows each cell has room for its value."""


def draw_heatmap(
    matrix: NDArray[np.float64],
    labels: Sequence[str],
    *,
    title: str | None,
    estimator: str,
    n_examples: int | None,
    blocks: Sequence[int] | None = None,
    blank: NDArray[np.bool_] | None = None,
    texts: Sequence[Sequence[str]] | None = None,
    notes: Sequence[str] = (),
    cell_inches: float = _CELL_INCHES,
) -> Figure:
    """Draw a CKA matrix with a colour scale that is fixed from 0 to 1, so that figures compare.

    Parameters
    ----------
    matrix
        (M, M) CKA values; NaN cells (undefined, or not compared) are hatched.
    labels
        M texts, for rows and columns. Where labels begin with a common word (up to the first
        ``/``, ``,``, ``·``, ``|`` or space), lines separate the blocks of equal first words.
    title
        Above the matrix; None for none.
    estimator
        Names the colour bar.
    n_examples
        Stands in the caption, unless None. The caption also tells of values outside 0 to 1, of
        hatched cells and of labels left out for want of room.
    blocks
        Positions before which a line is drawn, in place of what the labels' first words say.
    blank
        (M, M) cells that have no value and miss none: grey in place of hatched.
    texts
        (M, M) texts for the cells, in place of the values.
    notes
        Further lines of the caption.
    cell_inches
        Size of a cell where there are few.

    Raises
    ------
    InputError
        The matrix has another shape than the labels call for.
    MissingExtraError
        matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.patches import Patch
    except ImportError as error:
        raise MissingExtraError.of("drawing", "matplotlib", "report") from error

    count = len(labels)
    if matrix.shape != (count, count):
        raise InputError(
            f"matrix: expected the shape ({count}, {count}) for {count} labels; came {matrix.shape}"
        )
    starts = _block_starts(labels) if blocks is None else [0, *(at for at in blocks if at > 0)]
    shown = _shown_labels(count, starts)
    font = 9.0 if count <= 16 else 7.0
    side = _side(count, cell_inches)
    # 0.6 of the font size is the mean advance of a letter; 72 points make an inch.
    names = [_shortened(labels[at]) for at in shown]
    text = max(map(len, names)) * font * 0.6 / 72
    width, height = side + text + 1.6, side + text + 1.5
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor("white" if blank is None else "0.88")
    missing = ~np.isfinite(matrix)
    image = axes.imshow(
        np.ma.masked_array(matrix, missing), cmap="viridis", vmin=0, vmax=1, interpolation="nearest"
    )
    if blank is not None:
        missing &= ~blank
    if missing.any():
        _hatch(axes, missing)
        axes.legend(
            handles=[Patch(facecolor="white", edgecolor="0.6", hatch="////", label="no value")],
            loc="lower left",
            bbox_to_anchor=(0, 1),
            fontsize=font,
            frameon=False,
            borderaxespad=0.2,
        )
    for start in starts[1:]:
        axes.axhline(start - 0.5, color="white", linewidth=1.5)
        axes.axvline(start - 0.5, color="white", linewidth=1.5)
    axes.set_xticks(shown, [_plain(name) for name in names], rotation=90, fontsize=font)
    axes.set_yticks(shown, [_plain(name) for name in names], fontsize=font)
    axes.tick_params(length=2)
    if texts is not None or count <= _NUMBERS_UP_TO:
        _write_values(axes, matrix, texts, font=font if count <= 6 else 7.0)
    bar = figure.colorbar(image, ax=axes, fraction=0.05, pad=0.03, shrink=0.8)
    bar.set_label(f"CKA ({estimator})", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    if title is not None:
        axes.set_title(
            _plain(_shortened(title)), fontsize=11, pad=18 if missing.any() else 6, loc="left"
        )
    caption = _caption(matrix, missing, n_examples, notes, left_out=count - len(shown))
    figure.supxlabel(caption, fontsize=8, x=0.01, ha="left")
    return figure


def bytes_of_heatmap(count: int) -> int:
    """Bytes that it takes to draw and save a matrix of ``count`` rows."""
    pixels = int(_side(count, _CELL_INCHES) * _DPI) ** 2
    return (pixels * (1 if count <= 400 else 2) + count**2) * _PIXEL_BYTES


def _side(count: int, cell_inches: float) -> float:
    """Return the inches of the matrix."""
    return min(max(count * cell_inches, 3.2), _MOST_LABELS * _CELL_INCHES)


def save_png(figure: Figure, file: BinaryIO) -> None:
    """Write a figure as `Figure.savefig` does, which draws it twice: once for its layout alone."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    canvas.print_png(file)


def _block_starts(labels: Sequence[str]) -> list[int]:
    """Return where runs of equal first words start; only [0] where the words make no blocks."""
    words = [re.split(r"[/,·|\s]", label, maxsplit=1)[0] for label in labels]
    starts = [at for at in range(len(words)) if at == 0 or words[at] != words[at - 1]]
    # Blocks of one, or a word that comes back later, are no blocks.
    if len(starts) in (1, len(words)) or len(starts) != len(set(words)):
        return [0]
    return starts


def _shown_labels(count: int, starts: Sequence[int]) -> list[int]:
    """Return the positions that get a label: all, or the first of each block, or every k-th."""
    if count <= _MOST_LABELS:
        return list(range(count))
    room = count / _MOST_LABELS
    if 1 < len(starts) <= _MOST_LABELS and all(
        later - at >= room for at, later in itertools.pairwise(starts)
    ):
        return list(starts)
    return list(range(0, count, int(np.ceil(room))))


def _hatch(axes: Axes, missing: NDArray[np.bool_]) -> None:
    from matplotlib.collections import PolyCollection

    corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    rows, columns = np.nonzero(missing)
    squares = np.column_stack([columns, rows])[:, None, :] + corners
    # 8,000 hatched squares draw in a second; beyond that plain grey tells the same.
    hatch = "////" if len(squares) <= 8_000 else None
    axes.add_collection(
        PolyCollection(
            list(squares), facecolor="0.93", edgecolor="0.65", linewidth=0, hatch=hatch, zorder=1.5
        ),
        autolim=False,
    )


def _write_values(
    axes: Axes,
    matrix: NDArray[np.float64],
    texts: Sequence[Sequence[str]] | None,
    *,
    font: float,
) -> None:
    options: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": font}
    for row, column in np.argwhere(np.isfinite(matrix)):
        value = matrix[row, column]
        # viridis is dark below about 0.6.
        color = "black" if value > 0.6 else "white"
        text = f"{value:.2f}" if texts is None else _plain(texts[row][column])
        axes.text(column, row, text, color=color, **options)


def _caption(
    matrix: NDArray[np.float64],
    missing: NDArray[np.bool_],
    n_examples: int | None,
    notes: Sequence[str],
    *,
    left_out: int,
) -> str:
    parts = [] if n_examples is None else [f"n = {n_examples:,} examples"]
    parts += [_plain(note) for note in notes]
    finite = matrix[np.isfinite(matrix)]
    # A self-similarity computed as 1 may end in 1 + 2e-16.
    outside = finite[(finite < 0) | (finite > 1 + 1e-9)]
    if outside.size:
        parts.append(
            f"{outside.size} cells outside the scale ({outside.min():.3g} to {outside.max():.3g})"
        )
    if missing.any():
        parts.append(f"{int(missing.sum())} cells without a value")
    if left_out:
        parts.append(f"{left_out} labels left out")
    return "\n".join(parts)


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:28]}…{text[-30:]}"


def _plain(text: str) -> str:
    """Keep matplotlib from reading `$` in a name as mathematics."""
    return text.replace("$", r"\$")
