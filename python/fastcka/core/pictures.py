"""The pictures of a comparison."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast, overload

if TYPE_CHECKING:
    from fastcka.core.comparison import Comparison
    from fastcka.core.estimators import Estimator
    from fastcka.figures import Axes, Figure


class Pictures:
    """The pictures of a `Comparison`."""

    @overload
    def plot(
        self,
        path: str | os.PathLike[str] | None = ...,
        *,
        title: str | None = ...,
        estimator: Estimator | None = ...,
        mark_chance: bool = ...,
        blocks: str | None = ...,
        ax: None = ...,
    ) -> Figure: ...

    @overload
    def plot(
        self,
        path: str | os.PathLike[str] | None = ...,
        *,
        title: str | None = ...,
        estimator: Estimator | None = ...,
        mark_chance: bool = ...,
        blocks: str | None = ...,
        ax: Axes,
    ) -> Axes: ...

    def plot(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        title: str | None = None,
        estimator: Estimator | None = None,
        mark_chance: bool = False,
        blocks: str | None = None,
        ax: Axes | None = None,
    ) -> Figure | Axes:
        """Draw a heatmap of CKA, and write it to ``path`` if given (the suffix is the format).

        All cells are drawn, even if `pairs` lists only some of them. A notebook shows the figure.
        The default of ``estimator`` is the estimator of the comparison. With ``mark_chance``, a dot
        marks each cell whose value is not above the quantile of the null distribution (see
        `calibrated`). ``blocks`` is a label field: lines separate neighbours that differ in it.
        ``ax`` are Axes to draw into, which are then returned; the default is a new figure.

        Raises
        ------
        InputError
            If the folder of the file does not exist, or there is no such format or label field.
        WriteError
            If the file cannot be written.
        """
        from fastcka.core.drawing import draw_comparison

        return draw_comparison(
            cast("Comparison", self),
            None,
            path,
            title,
            estimator,
            mark_chance=mark_chance,
            blocks=blocks,
            ax=ax,
        )
