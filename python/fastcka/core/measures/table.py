"""Every measure: the single source for the code and for docs/measures.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from fastcka.core.measures.cross_products import procrustes, pwcca, svcca
from fastcka.core.measures.neighbors import cknna, cknna_reference, mutual_knn
from fastcka.core.measures.rbf import rbf_cka

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fastcka.core.measures.measure import Measure
    from fastcka.core.measures.members import Member, Values
    from fastcka.core.sums import Matrix, Vector

MeasureName = Literal[
    "cka",
    "rbf_cka",
    "mutual_knn",
    "cknna",
    "cknna_reference",
    "procrustes",
    "svcca",
    "pwcca",
]

Invariance = Literal["translation", "rotation", "isotropic scale", "positive scale of each example"]
"""Changes of a representation. A permutation of the features is a rotation too."""

MetricDistance = Literal["angular", "chord"]
"""Distances that follow from a similarity s: arccos(s), and sqrt(2 (1 - s))."""


class Description(NamedTuple):
    """A measure. All are similarities: the larger the value, the more alike.

    Attributes
    ----------
    title
        Its name in text.
    value_range
        The smallest and the largest value.
    metrics
        The distances that follow from it and satisfy the triangle inequality.
    invariances
        Changes of a representation that do not change the value.
    cost
        Floating-point operations for M representations of n examples and d features.
    reference
        Where it is defined.
    options
        Option -> default; the options of `Measure` that apply.
    symmetric
        Whether entry (i, j) equals entry (j, i). Otherwise row i is the first argument, and tables
        have a second column for (j, i), ``<name>_b``.
    invariance_note
        What limits or extends `invariances`.
    function
        Computes it; None for linear CKA, which the compiled pass computes.
    """

    title: str
    value_range: str
    metrics: tuple[MetricDistance, ...]
    invariances: tuple[Invariance, ...]
    cost: str
    reference: str
    options: Mapping[str, Any] = {}
    symmetric: bool = True
    invariance_note: str = ""
    function: Callable[[Sequence[Member], Measure], Values] | None = None


_SHAPE: tuple[Invariance, ...] = ("translation", "rotation", "isotropic scale")
_ANGLES: tuple[Invariance, ...] = ("rotation", "positive scale of each example")
_COSINE: tuple[MetricDistance, ...] = ("angular", "chord")
_GRAMS = "2 M n² d"

MEASURES: dict[MeasureName, Description] = {
    "cka": Description(
        "linear CKA",
        "-1 to 1 (biased: 0 to 1)",
        _COSINE,
        _SHAPE,
        "n² d M + n² M² / 2, or n (d M)²",
        "Kornblith et al. 2019; Song et al. 2012",
    ),
    "rbf_cka": Description(
        "CKA with Gaussian kernels (biased)",
        "0 to 1",
        _COSINE,
        _SHAPE,
        f"{_GRAMS} + n² M² / 2",
        "Kornblith et al. 2019, section 3",
        options={"bandwidth": "median", "scale": 1.0},
        invariance_note="scale not if the bandwidth is a number",
        function=rbf_cka,
    ),
    "mutual_knn": Description(
        "mutual k nearest neighbours",
        "0 to 1; by chance k / (n - 1)",
        (),
        _ANGLES,
        _GRAMS,
        "Huh et al. 2024",
        options={"k": 10},
        function=mutual_knn,
    ),
    "cknna": Description(
        "CKNNA, as in the paper",
        "-1 to 1",
        (),
        _ANGLES,
        _GRAMS,
        "Huh et al. 2024, appendix A",
        options={"k": 10},
        function=cknna,
    ),
    "cknna_reference": Description(
        "CKNNA, as in the authors' code",
        "about -1 to 1",
        (),
        _ANGLES,
        _GRAMS,
        "Huh et al. 2024, metrics.py of platonic-rep",
        options={"k": 10},
        symmetric=False,
        function=cknna_reference,
    ),
    "procrustes": Description(
        "Procrustes similarity (normalised Bures similarity)",
        "0 to 1",
        _COSINE,
        _SHAPE,
        "M² (n d² + d³)",
        "Williams et al. 2021; Harvey et al. 2024",
        function=procrustes,
    ),
    "svcca": Description(
        "SVCCA",
        "0 to 1",
        (),
        _SHAPE,
        "3 M n d² + M² (n r² + r³), r components",
        "Raghu et al. 2017",
        options={"variance": 0.99, "allow_wide": False},
        function=svcca,
    ),
    "pwcca": Description(
        "PWCCA, weighted by the representation of the row",
        "0 to 1",
        (),
        ("translation", "isotropic scale"),
        "3 M n d² + M² (n d² + 2 d³)",
        "Morcos et al. 2018",
        options={"allow_wide": False},
        symmetric=False,
        invariance_note="of the column also any invertible linear map",
        function=pwcca,
    ),
}


def column_names(names: Iterable[MeasureName]) -> list[str]:
    """Return the columns that measures have in a table with a row for each pair (a, b).

    The column of an asymmetric measure has side a as first argument, ``<name>_b`` has side b.
    """
    of_names = ([name] if MEASURES[name].symmetric else [name, f"{name}_b"] for name in names)
    return [column for columns in of_names for column in columns]


def pair_columns(matrices: Mapping[MeasureName, Matrix], pairs: NDArray[np.int64]) -> list[Vector]:
    """Return the values of pairs, (P, 2), for each of `column_names`."""
    a, b = pairs.T
    columns = []
    for name, matrix in matrices.items():
        columns.append(matrix[a, b])
        if not MEASURES[name].symmetric:
            columns.append(matrix[b, a])
    return columns
