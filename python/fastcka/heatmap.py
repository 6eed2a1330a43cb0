"""Draw a labelled CKA matrix."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from fastcka.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Figure  # re-exported for annotations in core
    from numpy.typing import NDArray

_CELL_INCHES = 0.19
"""Height of a row of 7-point text (0.097 inch) with space around it."""
_MOST_LABELS = 72
"""With more rows a figure would be wider than 14 inches: cells shrink, labels are omitted."""
_DPI = 150
_PIXEL_BYTES = 44
"""Bytes per pixel while drawing, measured. A cell of the matrix needs about as much."""
_NUMBERS_UP_TO = 12
"""Largest number of rows for which each cell shows its value."""


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
    marked: NDArray[np.bool_] | None = None,
    cell_inches: float = _CELL_INCHES,
) -> Figure:
    """Draw a CKA matrix. The colour scale always runs from 0 to 1, so figures are comparable.

    Parameters
    ----------
    matrix
        (M, M) CKA values. NaN cells (undefined, or not compared) are hatched.
    labels
        M labels, for both rows and columns. The first word of a label ends at ``/``, ``,``, ``·``,
        ``|`` or a space. If consecutive labels share their first word, lines separate these blocks.
    title
        Title above the matrix, or None.
    estimator
        Estimator named on the colour bar.
    n_examples
        Number of examples for the caption, or None. The caption also counts values outside
        0 to 1, hatched cells, and labels omitted for lack of space.
    blocks
        Positions before which a line is drawn; replaces the blocks found from the first words.
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

    Raises
    ------
    InputError
        The shape of the matrix does not match the number of labels.
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
            f"matrix: expected shape ({count}, {count}) for {count} labels, got {matrix.shape}"
        )
    starts = (
        _block_starts(labels) if blocks is None else [0, *(start for start in blocks if start > 0)]
    )
    shown = _shown_labels(count, starts)
    font = 9.0 if count <= 16 else 7.0
    side = _side(count, cell_inches)
    # A letter is about 0.6 of the font size wide; an inch is 72 points.
    names = [_shortened(labels[i]) for i in shown]
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
    if marked is not None:
        rows, columns = np.nonzero(marked)
        axes.scatter(columns, rows + 0.3, s=10, color="white", edgecolor="black", linewidth=0.4)
        notes = [*notes, f"dots: {len(rows)} cells within chance"]
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
    """Return the bytes needed to draw and save a matrix of ``count`` rows."""
    # Beyond 400 rows a cell is a few pixels wide, and drawing takes twice the memory.
    pixels = int(_side(count, _CELL_INCHES) * _DPI) ** 2
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


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:28]}…{text[-30:]}"


def _plain(text: str) -> str:
    """Escape `$`, which matplotlib would read as the start of mathematics."""
    return text.replace("$", r"\$")
