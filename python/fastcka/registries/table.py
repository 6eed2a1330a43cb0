"""The measures with their names in the registries: the source for both.

Titles, invariances, symmetry and the distances that are metrics are those of
`fastcka.core.measures.table`. A measure is here only if its definition is that of the registry.
docs/howto/other-toolboxes.md lists those that are left out, with the reasons.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from fastcka.core import Measure, compare
from fastcka.core.arrays import as_float64
from fastcka.core.estimators import HsicEstimator
from fastcka.core.measures.compute import undefined_members
from fastcka.core.measures.table import MEASURES as DESCRIPTIONS
from fastcka.core.measures.table import Description
from fastcka.errors import DegenerateWarning

Invariance = Literal[
    "permutation", "orthogonal", "isotropic-scaling", "invertible-linear", "translation", "affine"
]
"""Changes of the features that leave a measure unchanged, as Klabunde et al. 2025 (table 1)."""

Kind = Literal["score", "angular", "chord", "euclidean"]
"""A similarity s, arccos(s), sqrt(2 (1 - s)), or sqrt(|X|^2 + |Y|^2 - 2 |X| |Y| s).

|X| is the Frobenius norm of the centred representation.
"""

_TERMS: Final[dict[str, frozenset[Invariance]]] = {
    "translation": frozenset({"translation"}),
    "rotation": frozenset({"orthogonal", "permutation"}),
    "isotropic scale": frozenset({"isotropic-scaling"}),
}
_WIDTH: Final = "{sigma}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredMeasure:
    """A measure of two representations of the same examples.

    Attributes
    ----------
    name
        The standardized name in similarity-repository, without the prefix. If it contains
        "{sigma}", the measure takes the bandwidth of a Gaussian kernel.
    class_name
        The name of the class in ReSi, or a new one for a measure that ReSi does not have. None: it
        is not offered to ReSi.
    measure
        The similarity, with its options.
    kind
        The similarity itself, or a distance that follows from it.
    estimator
        The estimator of linear CKA.
    papers
        Where it was introduced, in the form of similarity-repository.
    """

    name: str
    class_name: str | None
    measure: Measure
    kind: Kind = "score"
    estimator: HsicEstimator = "biased"
    papers: tuple[str, ...]

    @property
    def title(self) -> str:
        """Its name in text."""
        title = self._description.title
        if self.measure.name == "cka":
            title = f"{self.estimator} {title}"
        return title if self.kind == "score" else f"{self.kind} distance of {title}"

    @property
    def takes_width(self) -> bool:
        """Whether `RegisteredMeasure.value` takes the bandwidth of a Gaussian kernel."""
        return _WIDTH in self.name

    @property
    def larger_is_more_similar(self) -> bool:
        """Whether a larger value means that the representations are more similar."""
        return self.kind == "score"

    @property
    def is_metric(self) -> bool:
        """Whether it is a distance that satisfies the triangle inequality."""
        # The Euclidean distance is that of the points X and YQ for the best rotation Q.
        return self.kind == "euclidean" or self.kind in self._description.metrics

    @property
    def is_symmetric(self) -> bool:
        """Whether the order of the arrays does not matter."""
        return self._description.symmetric

    @property
    def invariances(self) -> frozenset[Invariance]:
        """See `Invariance`."""
        terms = frozenset().union(*(_TERMS[change] for change in self._description.invariances))
        depends_on_scale = self.takes_width or self.kind == "euclidean"
        return terms - {"isotropic-scaling"} if depends_on_scale else terms

    def value(
        self, x: Any, y: Any, *, width: float = 1.0, names: tuple[str, str], stacklevel: int = 2
    ) -> float:
        """Return the value of two arrays.

        Parameters
        ----------
        x, y
            Shapes (n_examples, n_features_a) and (n_examples, n_features_b).
        width
            The bandwidth, if it takes one.
        names
            Names of the arrays in errors and warnings.
        stacklevel
            Whose line a warning shows, as in ``warnings.warn``. 2: the caller's.

        Returns
        -------
        float
            NaN, with a `DegenerateWarning`, if it is undefined.
        """
        similarity = self._similarity(x, y, width, names, stacklevel + 1)
        if self.kind == "score":
            return similarity
        if self.kind == "angular":
            return math.acos(similarity)
        unlikeness = 2 * (1 - similarity)
        if self.kind == "chord":
            return math.sqrt(unlikeness)
        a, b = (_norm(array, name) for array, name in zip((x, y), names, strict=True))
        return math.sqrt((a - b) ** 2 + a * b * unlikeness)  # as `Kind`, and never below 0

    @property
    def _description(self) -> Description:
        return DESCRIPTIONS[self.measure.name]

    def _similarity(
        self, x: Any, y: Any, width: float, names: tuple[str, str], stacklevel: int
    ) -> float:
        measure = Measure(self.measure.name, bandwidth=width) if self.takes_width else self.measure
        result = compare(
            dict(zip(names, (x, y), strict=True)),
            estimator=self.estimator,
            precision="float64",
            measures=[measure],
        )
        undefined = (
            result.undefined
            if measure.name == "cka"
            else undefined_members(result.provenance["measures"][measure.name])
        )
        for position, reason in undefined.items():
            warnings.warn(
                f"{self.title} with {names[position]} is NaN: {reason}",
                DegenerateWarning,
                stacklevel=stacklevel,
            )
        return float(result.measure(measure.name)[0, 1])


def _norm(x: Any, name: str) -> float:
    values = as_float64(x, name)
    return float(np.linalg.norm(values - values.mean(axis=0)))


def _with_distances(
    name: str,
    measure: Measure,
    *papers: str,
    class_prefix: str | None = None,
    estimator: HsicEstimator = "biased",
) -> list[RegisteredMeasure]:
    """Return a kind of CKA, and its distances that are metrics."""
    kinds: tuple[Kind, ...] = ("score", *DESCRIPTIONS[measure.name].metrics)
    return [
        RegisteredMeasure(
            name=f"{name}-{kind}" if kind == "score" else f"{name}-distance={kind}",
            class_name=None
            if class_prefix is None
            else f"{class_prefix}{'' if kind == 'score' else kind.title()}CKA",
            measure=measure,
            kind=kind,
            estimator=estimator,
            papers=papers if kind == "score" else (*papers, "williams2021"),
        )
        for kind in kinds
    ]


_PROCRUSTES: Final = Measure("procrustes")

MEASURES: Final = (
    *_with_distances(
        "cka-kernel=linear-hsic=gretton", Measure("cka"), "kornblith2019", class_prefix=""
    ),
    *_with_distances(
        "cka-kernel=linear-hsic=song",
        Measure("cka"),
        "kornblith2019",
        "song2012",
        class_prefix="Unbiased",
        estimator="unbiased",
    ),
    *_with_distances(
        f"cka-kernel=(rbf-sigma={_WIDTH})-hsic=gretton", Measure("rbf_cka"), "kornblith2019"
    ),
    RegisteredMeasure(
        name="nbs-score",
        class_name="NormalizedBuresSimilarity",
        measure=_PROCRUSTES,
        papers=("tang2020", "harvey2024"),
    ),
    RegisteredMeasure(
        name="procrustes-distance=angular",
        class_name="OrthogonalAngularShapeMetricCentered",
        measure=_PROCRUSTES,
        kind="angular",
        papers=("williams2021",),
    ),
    RegisteredMeasure(
        name="orthogonal_procrustes_centered_and_normalized",
        class_name="OrthogonalProcrustesCenteredAndNormalized",
        measure=_PROCRUSTES,
        kind="chord",
        papers=("ding2021",),
    ),
    RegisteredMeasure(
        name="procrustes-distance=euclidean",
        class_name="ProcrustesSizeAndShapeDistance",
        measure=_PROCRUSTES,
        kind="euclidean",
        papers=("williams2021",),
    ),
    *(
        RegisteredMeasure(
            name=f"svcca-var={variance}-score",
            class_name=None,
            measure=Measure("svcca", variance=variance, allow_wide=True),
            papers=("raghu2017",),
        )
        for variance in (0.95, 0.99)
    ),
)
"""Every measure."""
