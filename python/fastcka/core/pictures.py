"""Distances between the representations of a comparison, and its pictures."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast, overload

if TYPE_CHECKING:
    from rsatoolbox.rdm import RDMs

    from fastcka.core.comparison import Comparison
    from fastcka.core.estimators import Estimator
    from fastcka.core.geometry import Distance, Embedding, Linkage
    from fastcka.core.sums import Matrix
    from fastcka.figures import Axes, Figure


class Pictures:
    """The distances and pictures of a `Comparison`."""

    def distance(self, kind: Distance = "angular") -> Matrix:
        """Return distances between the representations, from `cka` or the measure procrustes.

        1 - CKA violates the triangle inequality. These distances are metrics for the biased and the
        unbiased estimator, on representations up to translation, rotation and isotropic scale
        (Williams et al. 2021). They fit wherever ``metric="precomputed"`` is an option.

        Parameters
        ----------
        kind
            "angular": arccos(CKA), in radians. "chord": sqrt(2 (1 - CKA)), the Euclidean distance
            of centred Gram matrices of norm 1. "procrustes": the angle arccos(procrustes) in
            radians, up to pi/2 (Williams et al. 2021), if the measure procrustes was asked for; it
            is a metric on the same representations, and does not depend on the estimator.

        Returns
        -------
        ndarray
            (M, M) float64, symmetric, with a diagonal of 0. A negative unbiased CKA is farther than
            pi/2 (angular) or sqrt(2) (chord). CKA is clipped to [-1, 1] before. This only removes
            round-off, except with "feature_corrected", which can be above 1: such pairs have
            distance 0, and the triangle inequality can fail.

        Raises
        ------
        InputError
            There is no such kind, or CKA is undefined (NaN) for a representation.
        """
        from fastcka.core.geometry import distance_of

        return distance_of(cast("Comparison", self), kind)

    def to_rsatoolbox(self, kind: Distance = "angular") -> RDMs:
        """Return the distances of `distance` as an ``rsatoolbox.rdm.RDMs`` with one RDM.

        Its patterns are the representations, not the examples. Every label field and ``name`` are
        pattern descriptors, and the measure names the distance and the estimator. 1 - CKA, which is
        no metric, is the squared distance of kind "chord" divided by 2.

        Raises
        ------
        InputError
            As `distance`.
        MissingExtraError
            rsatoolbox is not installed.
        """
        from fastcka.core.tables import rdms_of

        return rdms_of(cast("Comparison", self), kind)

    def embed(self, n: int = 2, *, kind: Distance = "angular") -> Embedding:
        """Return points in n dimensions whose distances are close to those of `distance`.

        By metric multidimensional scaling (SMACOF of scikit-learn) that starts from classical
        scaling, so that the result does not depend on random numbers.

        Raises
        ------
        InputError
            As `distance`; or there are fewer than two representations, or n is not positive.
        MissingExtraError
            scikit-learn is not installed.
        """
        from fastcka.core.geometry import embedding_of

        return embedding_of(cast("Comparison", self), n, kind)

    def cluster(self, method: Linkage = "average", *, kind: Distance = "angular") -> Matrix:
        """Return a hierarchical clustering, as `scipy.cluster.hierarchy.linkage`.

        Parameters
        ----------
        method
            "average", "complete", "single", "weighted", or "ward" (only with kind "chord").
        kind
            As in `distance`.

        Returns
        -------
        ndarray
            (M-1, 4) float64: in each row two clusters that are merged, their distance, and the
            number of representations in the new one.

        Raises
        ------
        InputError
            As `distance`; or there are fewer than two representations, or no such method.
        MissingExtraError
            scipy is not installed.
        """
        from fastcka.core.geometry import linkage_of

        return linkage_of(cast("Comparison", self), method, kind)

    @overload
    def plot_map(
        self,
        path: str | os.PathLike[str] | None = ...,
        *,
        kind: Distance = ...,
        color: str | None = ...,
        title: str | None = ...,
        ax: None = ...,
    ) -> Figure: ...

    @overload
    def plot_map(
        self,
        path: str | os.PathLike[str] | None = ...,
        *,
        kind: Distance = ...,
        color: str | None = ...,
        title: str | None = ...,
        ax: Axes,
    ) -> Axes: ...

    def plot_map(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        kind: Distance = "angular",
        color: str | None = None,
        title: str | None = None,
        ax: Axes | None = None,
    ) -> Figure | Axes:
        """Draw the representations as the points of ``embed(2)``; the caption gives the stress.

        ``color`` is a label field that colours the points: one with at most 20 values, or with
        numbers. Other parameters and errors as `plot` and `embed`.
        """
        from fastcka.core.drawing import draw_points

        return draw_points(cast("Comparison", self), path, kind, color, title, ax)

    @overload
    def plot_dendrogram(
        self,
        path: str | os.PathLike[str] | None = ...,
        *,
        method: Linkage = ...,
        kind: Distance = ...,
        title: str | None = ...,
        ax: None = ...,
    ) -> Figure: ...

    @overload
    def plot_dendrogram(
        self,
        path: str | os.PathLike[str] | None = ...,
        *,
        method: Linkage = ...,
        kind: Distance = ...,
        title: str | None = ...,
        ax: Axes,
    ) -> Axes: ...

    def plot_dendrogram(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        method: Linkage = "average",
        kind: Distance = "angular",
        title: str | None = None,
        ax: Axes | None = None,
    ) -> Figure | Axes:
        """Draw the tree of `cluster`. Other parameters and errors as `plot` and `cluster`."""
        from fastcka.core.drawing import draw_tree

        return draw_tree(cast("Comparison", self), path, method, kind, title, ax)

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

    def _repr_html_(self) -> str:
        from fastcka.core.html import html_of

        return html_of(cast("Comparison", self), None, repr(self))
