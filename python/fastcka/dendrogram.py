"""Draw a hierarchical clustering as a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcka.errors import MissingExtraError
from fastcka.figures import axes_of, plain_text, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fastcka.figures import Axes, Figure

_LEAF_INCHES = 0.17
"""Height of a name of 7 points with space around it."""
_MOST_NAMES = 100
"""With more leaves a figure would be higher than 18 inches; names are omitted."""


def draw_dendrogram(
    merges: NDArray[np.float64],
    names: Sequence[str],
    *,
    caption: str,
    title: str | None,
    ax: Axes | None,
) -> Figure:
    """Draw the tree, with the leaves on the left and the distances of the merges below.

    Parameters
    ----------
    merges
        (M-1, 4) linkage matrix of scipy.
    names
        The M names of the leaves; with more than 100 they are omitted.
    caption
        Label of the axis of distances.
    title
        Title above the tree, or None.
    ax
        Axes to draw into. Default: those of a new figure.

    Raises
    ------
    MissingExtraError
        matplotlib or scipy is not installed.
    """
    try:
        from scipy.cluster.hierarchy import dendrogram
    except ImportError as error:
        raise MissingExtraError.of("a dendrogram", "scipy", "report") from error
    named = len(names) <= _MOST_NAMES
    axes, figure = axes_of(ax, 6.5, 1.2 + _LEAF_INCHES * min(len(names), _MOST_NAMES))
    dendrogram(
        merges,
        orientation="right",
        labels=[plain_text(shortened(name)) for name in names] if named else None,
        no_labels=not named,
        leaf_font_size=7,
        color_threshold=0,
        above_threshold_color="0.25",
        ax=axes,
    )
    axes.invert_yaxis()  # the first leaf is at the top
    axes.tick_params(axis="x", labelsize=8)
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    if not named:
        caption = f"{caption}; {len(names)} names omitted"
    axes.set_xlabel(caption, fontsize=8, loc="left")
    if title is not None:
        axes.set_title(plain_text(shortened(title)), fontsize=11, loc="left")
    return figure
