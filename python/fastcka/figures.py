"""New figures, which notebooks show as pictures, and files of figures."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastcka.errors import InputError, MissingExtraError
from fastcka.files import replaced_stream

if TYPE_CHECKING:
    import os

    from matplotlib.axes import Axes as Axes  # re-exported for annotations in core
    from matplotlib.figure import Figure as Figure

DPI = 150


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches; a notebook shows it as a picture.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError.of("drawing", "matplotlib", "report") from error
    figure: Any = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    # IPython shows only figures of pyplot by itself.
    figure._repr_png_ = partial(_png, figure)
    shown: Figure = figure
    return shown


def axes_of(ax: Axes | None, width: float, height: float) -> tuple[Axes, Figure]:
    """Return the given Axes, or those of a new figure of a size in inches, and their figure."""
    if ax is None:
        figure = new_figure(width, height)
        return figure.add_subplot(), figure
    if not (hasattr(ax, "get_xlabel") and hasattr(ax, "figure")):
        raise InputError(
            f"ax: expected Axes of matplotlib, got {type(ax).__name__}; of several Axes, pass one, "
            "as axes[0]"
        )
    whole: Figure = ax.figure.canvas.figure  # also that of a subfigure
    return ax, whole


def write_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure; the suffix of the path is the format, .png by default.

    Raises
    ------
    InputError
        The path is no path, the folder does not exist, or there is no such format.
    WriteError
        The file cannot be written.
    """
    try:
        path = Path(path)
    except TypeError:
        hint = "; Axes are given as ax=..." if hasattr(path, "get_xlabel") else ""
        raise InputError(f"path: expected the name of a file, got {path!r}{hint}") from None
    path = path if path.suffix else path.with_name(f"{path.name}.png")
    if not path.parent.is_dir():
        raise InputError(f"{path}: cannot be written: No such file or directory: {path.parent}")
    try:
        with replaced_stream(path) as file:
            figure.savefig(file, format=path.suffix[1:])
    except ValueError as error:  # no such format
        raise InputError(f"{path}: cannot be written: {error}") from error


def plain_text(text: str) -> str:
    """Escape `$`, which matplotlib would read as the start of mathematics."""
    return text.replace("$", r"\$")


def shortened(text: str) -> str:
    """Return a text of at most 60 characters, with its start and its end."""
    return text if len(text) <= 60 else f"{text[:28]}…{text[-30:]}"


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
