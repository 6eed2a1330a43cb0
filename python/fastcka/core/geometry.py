"""Distances between representations, and what follows from them: coordinates and a tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np

from fastcka.core.measures.compute import undefined_members
from fastcka.core.sums import Matrix
from fastcka.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    import pandas as pd

    from fastcka.core.comparison import Comparison

Distance = Literal["angular", "chord", "procrustes"]
Linkage = Literal["average", "complete", "single", "weighted", "ward"]
_MOST_POSITIONS = 20
"""Positions in an error message."""


@dataclass(frozen=True, eq=False)
class Embedding:
    """Points whose Euclidean distances are close to the distances of M representations.

    Attributes
    ----------
    labels
        A mapping from field to value for each representation.
    coordinates
        (M, n) float64, with mean 0. Their unit is that of the distance; the axes have no meaning.
    stress
        Kruskal's stress: sqrt(sum (d_ij - |x_i - x_j|)^2 / sum d_ij^2) over all pairs. 0 if the
        points have exactly these distances; with more than about 0.2 the points mislead.
    kind
        The distance: see `Comparison.distance`.
    """

    labels: tuple[dict[str, Any], ...]
    coordinates: Matrix
    stress: float
    kind: Distance

    def __repr__(self) -> str:
        m, n = self.coordinates.shape
        return (
            f"Embedding({m} representations, {n} dimensions, {self.kind}, stress {self.stress:.3g})"
        )

    def to_dataframe(self) -> pd.DataFrame:
        """Return a row for each representation: the label fields, and ``x1``, ``x2``, ..."""
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingExtraError.of("to_dataframe", "pandas", "report") from error
        columns = {f"x{i + 1}": x for i, x in enumerate(self.coordinates.T)}
        return pd.DataFrame(list(self.labels)).assign(**columns)


def distance_of(comparison: Comparison, kind: Distance) -> Matrix:
    """Return the distances; see `Comparison.distance`."""
    if kind not in get_args(Distance):
        raise InputError(f"distance: expected one of {', '.join(get_args(Distance))}; got {kind!r}")
    similarity, undefined = _similarity(comparison, kind)
    _refuse_undefined(comparison.names, similarity, undefined)
    similarity = np.clip((similarity + similarity.T) / 2, -1, 1)
    distance = np.sqrt(2 * (1 - similarity)) if kind == "chord" else np.arccos(similarity)
    np.fill_diagonal(distance, 0)
    return distance


def embedding_of(comparison: Comparison, n: int, kind: Distance) -> Embedding:
    """Return coordinates; see `Comparison.embed`."""
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise InputError(f"n: expected a positive number of dimensions, got {n!r}")
    distance = distance_of(comparison, kind)
    _require_two(comparison, "embed")
    try:
        from sklearn.manifold import smacof
    except ImportError as error:
        raise MissingExtraError.of("embed", "scikit-learn", "report") from error
    points = _classical(distance, n)
    if distance.any():  # smacof divides by the sum of squares
        points, _ = smacof(
            distance,
            n_components=n,
            init=points,
            n_init=1,
            max_iter=3000,
            eps=1e-9,
            normalized_stress=False,
        )
    points = points - points.mean(0)
    return Embedding(comparison.labels, points, _stress(distance, points), kind)


def linkage_of(comparison: Comparison, method: Linkage, kind: Distance) -> Matrix:
    """Return the merges of a hierarchical clustering; see `Comparison.cluster`."""
    if method not in get_args(Linkage):
        raise InputError(f"method: expected one of {', '.join(get_args(Linkage))}; got {method!r}")
    if method == "ward" and kind != "chord":
        raise InputError(
            f"method: 'ward' needs Euclidean distances, and {kind!r} ones are not: use kind='chord'"
        )
    distance = distance_of(comparison, kind)
    _require_two(comparison, "cluster")
    try:
        from scipy.cluster.hierarchy import linkage
        from scipy.spatial.distance import squareform
    except ImportError as error:
        raise MissingExtraError.of("cluster", "scipy", "report") from error
    return cast("Matrix", linkage(squareform(distance), method))


def _similarity(comparison: Comparison, kind: Distance) -> tuple[Matrix, dict[int, str]]:
    """Return the similarities from which the distance follows, and why some are undefined."""
    if kind != "procrustes":
        return comparison.cka, comparison.undefined
    if kind not in comparison.measures:
        raise InputError(
            "distance: 'procrustes' follows from the measure of that name, which was not computed: "
            "call compare(..., measures=['cka', 'procrustes'])"
        )
    facts = comparison.provenance["measures"][kind]
    return comparison.measures[kind], undefined_members(facts)


def _refuse_undefined(
    names: Sequence[str], similarity: Matrix, undefined: Mapping[int, str]
) -> None:
    """Refuse NaN, and name the representations that have no similarity to any other."""
    missing = np.isnan(similarity)
    if not missing.any():
        return
    whole = missing.all(1)
    if missing[~whole][:, ~whole].any():
        whole = missing.any(1)
    reasons = [
        f"{names[i]!r} ({undefined.get(i, 'its CKA is NaN')})"
        for i in np.flatnonzero(whole)[:_MOST_POSITIONS].tolist()
    ]
    more = f" and {whole.sum() - len(reasons)} more" if whole.sum() > len(reasons) else ""
    rest = np.flatnonzero(~whole).tolist()
    remedy = f"result[{rest}]" if 0 < len(rest) <= _MOST_POSITIONS else "result[[...]]"
    raise InputError(
        f"distance: the similarity of {', '.join(reasons)}{more} is undefined: leave out such "
        f"representations, as in {remedy}"
    )


def _require_two(comparison: Comparison, what: str) -> None:
    if len(comparison.labels) < 2:
        raise InputError(f"{what} needs at least two representations")


def _classical(distance: Matrix, n: int) -> Matrix:
    """Return the coordinates of classical scaling, from which the iteration starts."""
    squares = distance**2
    products = squares.mean(0) + squares.mean(1)[:, None] - squares - squares.mean()
    values, vectors = np.linalg.eigh(products / 2)
    points = np.zeros((len(distance), n))
    used = min(n, len(distance))
    points[:, :used] = (vectors * np.sqrt(np.maximum(values, 0)))[:, ::-1][:, :used]
    # The sign of an eigenvector is arbitrary.
    largest = np.abs(points).argmax(0)
    return points * np.where(points[largest, np.arange(n)] < 0, -1, 1)


def _stress(distance: Matrix, points: Matrix) -> float:
    reached = np.linalg.norm(points[:, None] - points, axis=2)
    whole = float((distance**2).sum())
    return float(np.sqrt(((distance - reached) ** 2).sum() / whole)) if whole else 0.0
