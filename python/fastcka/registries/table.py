"""The measures with their names and properties in the registries: the source for both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

from fastcka.core import cka, compare

if TYPE_CHECKING:
    from fastcka.core.estimators import HsicEstimator
    from fastcka.core.geometry import Distance

Invariance = Literal[
    "permutation", "orthogonal", "isotropic-scaling", "invertible-linear", "translation", "affine"
]
"""Changes of the features that leave a measure unchanged, as Klabunde et al. 2025 (table 1)."""

_OF_CKA: Final[frozenset[Invariance]] = frozenset(
    ("permutation", "orthogonal", "isotropic-scaling", "translation")
)


@dataclass(frozen=True, slots=True)
class RegisteredMeasure:
    """A measure of two representations of the same examples.

    Attributes
    ----------
    name
        The standardized name in similarity-repository, without the prefix.
    class_name
        The name of a class in ReSi.
    title
        The name in text.
    function
        Takes two arrays, (n_examples, n_features_a) and (n_examples, n_features_b), and returns a
        float.
    larger_is_more_similar
        Whether a larger value means that the representations are more similar.
    is_metric
        Whether it is zero for equal representations, symmetric, and satisfies the triangle
        inequality.
    is_symmetric
        Whether the order of the arrays does not matter.
    invariances
        See `Invariance`.
    papers
        Where it was introduced, in the form of similarity-repository.
    """

    name: str
    class_name: str
    title: str
    function: Callable[[Any, Any], float]
    larger_is_more_similar: bool
    is_metric: bool
    is_symmetric: bool
    invariances: frozenset[Invariance]
    papers: tuple[str, ...]


def _similarity(x: Any, y: Any, *, estimator: HsicEstimator) -> float:
    return cka(x, y, estimator=estimator, precision="float64")


def _distance(x: Any, y: Any, *, estimator: HsicEstimator, kind: Distance) -> float:
    result = compare([x, y], estimator=estimator, precision="float64")
    if result.undefined:
        return _similarity(x, y, estimator=estimator)  # NaN, with a warning that gives the reason
    return float(result.distance(kind)[0, 1])


def _of_estimator(
    estimator: HsicEstimator, hsic: str, prefix: str, papers: tuple[str, ...]
) -> list[RegisteredMeasure]:
    """Return CKA by one estimator, and its distances."""
    name = f"cka-kernel=linear-hsic={hsic}"
    title = f"{estimator} CKA"
    similarity = RegisteredMeasure(
        name=f"{name}-score",
        class_name=f"{prefix}CKA",
        title=title,
        function=partial(_similarity, estimator=estimator),
        larger_is_more_similar=True,
        is_metric=False,
        is_symmetric=True,
        invariances=_OF_CKA,
        papers=papers,
    )
    kinds: tuple[Distance, ...] = ("angular", "chord")
    return [
        similarity,
        *(
            RegisteredMeasure(
                name=f"{name}-distance={kind}",
                class_name=f"{prefix}{kind.title()}CKA",
                title=f"{kind} distance of {title}",
                function=partial(_distance, estimator=estimator, kind=kind),
                larger_is_more_similar=False,
                is_metric=True,
                is_symmetric=True,
                invariances=_OF_CKA,
                papers=(*papers, "williams2021"),
            )
            for kind in kinds
        ),
    ]


def _procrustes(x: Any, y: Any, *, angular: bool) -> float:
    result = compare([x, y], estimator="biased", measures=["procrustes"], precision="float64")
    if result.undefined:
        return _similarity(x, y, estimator="biased")  # NaN, with the reason
    values = result.distance("procrustes") if angular else result.measure("procrustes")
    return float(values[0, 1])


_OF_PROCRUSTES: Final = (
    RegisteredMeasure(
        name="nbs",
        class_name="NormalizedBuresSimilarity",
        title="normalized Bures similarity",
        function=partial(_procrustes, angular=False),
        larger_is_more_similar=True,
        is_metric=False,
        is_symmetric=True,
        invariances=_OF_CKA,
        papers=("harvey2024",),
    ),
    RegisteredMeasure(
        name="procrustes-distance=angular",
        class_name="OrthogonalAngularShapeMetricCentered",
        title="angular Procrustes distance",
        function=partial(_procrustes, angular=True),
        larger_is_more_similar=False,
        is_metric=True,
        is_symmetric=True,
        invariances=_OF_CKA,
        papers=("williams2021",),
    ),
)

MEASURES: Final = (
    *_of_estimator("biased", "gretton", "", ("kornblith2019",)),
    *_of_estimator("unbiased", "song", "Unbiased", ("kornblith2019", "song2012")),
    *_OF_PROCRUSTES,
)
"""Every measure."""
