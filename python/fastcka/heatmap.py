"""Draw a labelled CKA matrix."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from fastcka.errors import InputError
from fastcka.figures import DPI, axes_of, plain_text, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fastcka.figures import Axes, Figure

_CELL_INCHES = 0.19
"""Height of a row of 7-point text (0.097 inch) with space around it."""
_MOST_LABELS = 72
"""With more rows a figure would be wider than 14 inches: cells shrink, labels are omitted."""
_PIXEL_BYTES = 44
"""Bytes per pixel while drawing, measured. A cell of the matrix needs about as much."""
_NUMBERS_UP_TO = 12
"""Largest number of rows for which each cell shows its value."""


class _Side(NamedTuple):
    """The rows or the columns of a matrix.

    `starts` are the first positions of blocks, `shown` the positions with a label, `texts` these
    labels.
    """

    length: int
    starts: Sequence[int]
    shown: Sequence[int]
    texts: Sequence[str]

    @classmethod
    def from_labels(cls, labels: Sequence[str], blocks: Sequence[int] | None) -> _Side:
        starts = (
            _block_starts(labels)
            if blocks is None
            else [0, *(start for start in blocks if start > 0)]
        )
        shown = _shown_labels(len(labels), starts)
        return cls(len(labels), starts, shown, [shortened(labels[i]) for i in shown])

    def text_inches(self, font: float) -> float:
        # A letter is about 0.6 of the font size wide; an inch is 72 points.
        return max(map(len, self.texts)) * font * 0.6 / 72


def draw_heatmap(
    matrix: NDArray[np.float64],
    labels: Sequence[str],
    *,
    columns: Sequence[str] | None = None,
    title: str | None,
    estimator: str,
    n_examples: int | None,
    blocks: Sequence[int] | None = None,
    column_blocks: Sequence[int] | None = None,
    blank: NDArray[np.bool_] | None = None,
    texts: Sequence[Sequence[str]] | None = None,
    notes: Sequence[str] = (),
    marked: NDArray[np.bool_] | None = None,
    cell_inches: float = _CELL_INCHES,
    ax: Axes | None = None,
) -> Figure:
    """Draw a CKA matrix, square or A x B.

    The colour scale always runs from 0 to 1, so figures are comparable.

    Parameters
    ----------
    matrix
        (M, M) or (A, B) CKA values. NaN cells (undefined, or not compared) are hatched.
    labels
        M labels, for both rows and columns, or A labels of the rows. The first word of a label ends
        at ``/``, ``,``, ``·``, ``|`` or a space. If consecutive labels share their first word,
        lines separate these blocks.
    columns
        B labels of the columns; None for a square matrix.
    title
        Title above the matrix, or None.
    estimator
        Estimator named on the colour bar.
    n_examples
        Number of examples for the caption, or None. The caption also counts values outside
        0 to 1, hatched cells, and labels omitted for lack of space.
    blocks, column_blocks
        Positions before which a line is drawn, instead of the blocks that the first words form;
        the latter only with ``columns``.
    blank
        (M, M) mask of cells that are not expected to have a value; they are grey, not hatched.
    texts
        (M, M) texts shown in the cells instead of the values.
    notes
        Further lines of the caption.
    marked
        (M, M) mask of cells that are within chance; each gets a dot, and the caption says so.
    cell_inches
        Size of a cell in a small matrix; cells of a large matrix are smaller.
    ax
        Axes to draw into, with the caption below them. Default: those of a new figure.

    Raises
    ------
    InputError
        The shape of the matrix does not match the number of labels.
    MissingExtraError
        matplotlib is not installed.
    """
    if matrix.size == 0:
        raise InputError("there are no representations to draw")
    rows = _Side.from_labels(labels, blocks)
    across = rows if columns is None else _Side.from_labels(columns, column_blocks)
    if matrix.shape != (rows.length, across.length):
        raise InputError(
            f"matrix: expected shape ({rows.length}, {across.length}) for {rows.length} labels"
            f"{'' if columns is None else f' and {across.length} columns'}, got {matrix.shape}"
        )
    count = max(rows.length, across.length)
    font = 9.0 if count <= 16 else 7.0
    cell = _side(count, cell_inches) / count
    axes, figure = axes_of(
        ax,
        across.length * cell + rows.text_inches(font) + 1.6,
        rows.length * cell + across.text_inches(font) + 1.5,
    )
    axes.set_facecolor("white" if blank is None else "0.88")
    missing = ~np.isfinite(matrix)
    image = axes.imshow(
        np.ma.masked_array(matrix, missing), cmap="viridis", vmin=0, vmax=1, interpolation="nearest"
    )
    if blank is not None:
        missing &= ~blank
    if missing.any():
        from matplotlib.patches import Patch

        _hatch(axes, missing)
        axes.legend(
            handles=[Patch(facecolor="white", edgecolor="0.6", hatch="////", label="no value")],
            loc="lower left",
            bbox_to_anchor=(0, 1),
            fontsize=font,
            frameon=False,
            borderaxespad=0.2,
        )
    for start in rows.starts[1:]:
        axes.axhline(start - 0.5, color="white", linewidth=1.5)
    for start in across.starts[1:]:
        axes.axvline(start - 0.5, color="white", linewidth=1.5)
    axes.set_xticks(across.shown, list(map(plain_text, across.texts)), rotation=90, fontsize=font)
    axes.set_yticks(rows.shown, list(map(plain_text, rows.texts)), fontsize=font)
    axes.tick_params(length=2)
    if texts is not None or count <= _NUMBERS_UP_TO:
        _write_values(axes, matrix, texts, font=font if count <= 6 else 7.0)
    if marked is not None:
        y, x = np.nonzero(marked)
        axes.scatter(x, y + 0.3, s=10, color="white", edgecolor="black", linewidth=0.4)
        notes = [*notes, f"dots: {len(y)} cells within chance"]
    bar = axes.figure.colorbar(image, ax=axes, fraction=0.05, pad=0.03, shrink=0.8)
    bar.set_label(f"CKA ({estimator})", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    if title is not None:
        axes.set_title(
            plain_text(shortened(title)), fontsize=11, pad=18 if missing.any() else 6, loc="left"
        )
    sides = [rows] if columns is None else [rows, across]
    left_out = sum(side.length - len(side.shown) for side in sides)
    caption = _caption(matrix, missing, n_examples, notes, left_out=left_out)
    if ax is None:
        figure.supxlabel(caption, fontsize=8, x=0.01, ha="left")
    else:
        axes.set_xlabel(caption, fontsize=8, loc="left")
    return figure


def bytes_of_heatmap(count: int) -> int:
    """Return the bytes needed to draw and save a matrix of ``count`` rows."""
    # Beyond 400 rows a cell is a few pixels wide, and drawing takes twice the memory.
    pixels = int(_side(count, _CELL_INCHES) * DPI) ** 2
    return (pixels * (1 if count <= 400 else 2) + count**2) * _PIXEL_BYTES


def _side(count: int, cell_inches: float) -> float:
    """Return the side length of the matrix in inches."""
    return min(max(count * cell_inches, 3.2), _MOST_LABELS * _CELL_INCHES)


def save_png(figure: Figure, file: BinaryIO) -> None:
    """Write a figure as PNG. `Figure.savefig` would draw it twice, first for its layout."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    canvas.print_png(file)


def _block_starts(labels: Sequence[str]) -> list[int]:
    """Return the start of each run of equal first words, or [0] if the words form no blocks."""
    words = [re.split(r"[/,·|\s]", label, maxsplit=1)[0] for label in labels]
    starts = [i for i in range(len(words)) if i == 0 or words[i] != words[i - 1]]
    # Words form no blocks if there is one run, if every run has one label, or if a word recurs.
    if len(starts) in (1, len(words)) or len(starts) != len(set(words)):
        return [0]
    return starts


def _shown_labels(count: int, starts: Sequence[int]) -> list[int]:
    """Return the positions that get a label: all, the first of each block, or every k-th."""
    if count <= _MOST_LABELS:
        return list(range(count))
    room = count / _MOST_LABELS
    if 1 < len(starts) <= _MOST_LABELS and all(
        later - start >= room for start, later in itertools.pairwise(starts)
    ):
        return list(starts)
    return list(range(0, count, int(np.ceil(room))))


def _hatch(axes: Axes, missing: NDArray[np.bool_]) -> None:
    from matplotlib.collections import PolyCollection

    corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    rows, columns = np.nonzero(missing)
    squares = np.column_stack([columns, rows])[:, None, :] + corners
    # Drawing 8,000 hatched squares takes a second; more squares are plain grey.
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
        text = f"{value:.2f}" if texts is None else plain_text(texts[row][column])
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
    parts += [plain_text(note) for note in notes]
    finite = matrix[np.isfinite(matrix)]
    # Rounding may give a self-similarity of 1 + 2e-16.
    outside = finite[(finite < 0) | (finite > 1 + 1e-9)]
    if outside.size:
        parts.append(
            f"{outside.size} cells outside the scale ({outside.min():.3g} to {outside.max():.3g})"
        )
    if missing.any():
        parts.append(f"{int(missing.sum())} cells without a value")
    if left_out:
        parts.append(f"{left_out} labels omitted")
    return "\n".join(parts)
