"""The labelled result of a pass."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from fastcka.core.deferred import Deferred
from fastcka.core.estimators import Estimator
from fastcka.core.inference.moments import Moments
from fastcka.core.inference.options import Inference
from fastcka.core.inferred import InferredMatrices
from fastcka.core.pictures import Pictures
from fastcka.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from fastcka.core.measures.table import MeasureName

Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Comparison(InferredMatrices, Pictures):
    """CKA of all pairs of M representations, with labels and provenance.

    Attributes
    ----------
    labels
        A mapping from field to value for each representation: ``{"model": ..., "step": ...}``.
    estimator
        The estimator of the properties `cka` and `hsic`. The results of both are available.
    n_examples
        Number of examples.
    biased, unbiased
        (M, M) float64: CKA. NaN where the self-HSIC of either side is zero. The unbiased
        matrix is NaN throughout for fewer than 4 examples.
    hsic_biased, hsic_unbiased
        (M, M) float64: HSIC. Entry (i, j) has the squared units of representation i times those of
        representation j.
    pairs
        (P, 2) int: the positions of the requested pairs, a < b. The matrices contain all pairs.
    provenance
        How the values were computed: the version (key ``fastcka``), device, device_reason,
        precision, products, implementation, route, tile, chunk, threads, flops, seconds, folds,
        kernel_function, and the plan as text; on a GPU also rank_chunk and overrides; of data that
        did not fit into memory also reads, how often they were read; with further measures,
        measures: name -> options, seconds, and values of each representation, such as its
        bandwidth.
    undefined
        Position of a representation -> the reason why its row and column are NaN for the chosen
        estimator.
    feature_corrected
        (M, M) float64: unbiased CKA, corrected for a sample of features; see `compare`.
    moments
        Numbers of each representation from which the null distribution of every pair follows; None
        in a file that an earlier version saved, and where it is unknown (partial similarities,
        "feature_corrected" with matched units).
    inference
        The options of p-values and intervals; None if they were not asked for.
    stderr_biased, stderr_unbiased
        (M, M) float64: standard errors of CKA over examples, by a delete-block jackknife; None if
        they were not asked for, NaN for fewer than 5 examples.
    fisher_mean_biased, fisher_mean_unbiased, fisher_sd_biased, fisher_sd_unbiased
        (M, M) float64: arctanh(CKA) without its bias of order 1/n, and its standard error, from
        which the intervals follow.
    """

    labels: tuple[dict[str, Any], ...]
    estimator: Estimator
    n_examples: int
    biased: Matrix
    unbiased: Matrix
    hsic_biased: Matrix
    hsic_unbiased: Matrix
    pairs: NDArray[np.int64]
    provenance: dict[str, Any] = field(default_factory=dict)
    undefined: dict[int, str] = field(default_factory=dict)
    feature_corrected: Deferred[Matrix] = Deferred()  # noqa: RUF009
    moments: Deferred[Moments] = Deferred()  # noqa: RUF009
    inference: Inference | None = None
    stderr_biased: Matrix | None = None
    stderr_unbiased: Matrix | None = None
    fisher_mean_biased: Matrix | None = None
    fisher_mean_unbiased: Matrix | None = None
    fisher_sd_biased: Matrix | None = None
    fisher_sd_unbiased: Matrix | None = None
    measures: dict[MeasureName, Matrix] = field(default_factory=dict)

    @property
    def cka(self) -> Matrix:
        """(M, M) float64: CKA by the chosen estimator."""
        return self.matrix_by(self.estimator)

    def matrix_by(self, estimator: Estimator) -> Matrix:
        """(M, M) float64: CKA by an estimator; NaN if it was not computed."""
        if estimator == "feature_corrected":
            nothing = np.full_like(self.unbiased, np.nan)
            return nothing if self.feature_corrected is None else self.feature_corrected
        return self.biased if estimator == "biased" else self.unbiased

    def measure(self, name: MeasureName) -> Matrix:
        """Return the values of a measure that was asked for, (M, M) float64.

        "cka" is `cka`. For pwcca and cknna_reference, which are not symmetric, entry (i, j) has
        representation i, that of the row, as first argument (pwcca: it gives the weights). NaN in
        the row and column of a representation for which the measure is undefined;
        ``provenance["measures"][name]["of_each"]["undefined"]`` gives the reasons.

        Raises
        ------
        InputError
            The measure was not computed.
        """
        if name == "cka":
            return self.cka
        if not isinstance(name, str) or name not in self.measures:
            raise InputError(
                f"measure: expected one of {', '.join(['cka', *self.measures])}, which were "
                f"computed; got {name!r}: ask for others, as in compare(..., "
                f"measures=['cka', 'procrustes'])"
            )
        return self.measures[name]

    @property
    def hsic(self) -> Matrix:
        """(M, M) float64: HSIC by the chosen estimator (unbiased for "feature_corrected")."""
        return self.hsic_biased if self.estimator == "biased" else self.hsic_unbiased

    @property
    def names(self) -> list[str]:
        """One display name for each representation."""
        return [label_text(label) for label in self.labels]

    def __repr__(self) -> str:
        return (
            f"Comparison({len(self.labels)} representations, {len(self.pairs)} pairs, "
            f"{self.n_examples} examples, {self.estimator})"
        )

    def partial(self, given: Any) -> Comparison:
        """Return the similarities without what other representations of the comparison explain.

        Compare the confounders together with the rest: the inputs, one-hot labels, token lengths,
        an untrained network. Each Gram matrix is regressed on theirs (cf. Cui et al. 2022, who
        regress before centring); "unbiased" gives the partial distance correlation of Szekely and
        Rizzo 2014.

        Parameters
        ----------
        given
            The confounders, each as in ``result[...]``: a name or a position, for example.

        Returns
        -------
        Comparison
            `biased` and `unbiased` are the partial similarities of the other representations; NaN
            where the confounders explain a representation, within rounding. HSIC and
            feature-corrected matrices are NaN, and there is no inference.

        Raises
        ------
        InputError
            A name or position is unknown, the confounders are NaN or explain each other, or the
            estimator is "feature_corrected", which is no inner product.
        """
        from fastcka.core.partial import partial_of

        return partial_of(self, given)

    def methods(self) -> str:
        """Return a paragraph for the methods of a paper, with its references.

        It contains the numbers of examples and features, the estimator, the pooling if a label
        names it, the null distribution, the version and the arithmetic.
        """
        from fastcka.core.methods import methods_text

        return methods_text(self)

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row for each of `pairs`.

        The columns are every label field as ``<field>_a`` and ``<field>_b``, ``n_examples``,
        ``estimator``, ``cka``, ``cka_biased``, ``cka_unbiased``, ``hsic_biased``,
        ``hsic_unbiased``, and each further matrix and measure that this comparison has, by its
        name. A measure that is not symmetric also has ``<name>_b``, with side b as first argument.
        """
        from fastcka.core.tables import dataframe_of

        return dataframe_of(self)

    def to_xarray(self) -> xr.Dataset:
        """Return all matrices with dimensions a and b and each label field as a coordinate.

        They include the measures, by their names.
        """
        from fastcka.core.tables import dataset_of

        return dataset_of(self)

    @overload
    def __getitem__(self, key: tuple[Any, Any]) -> float: ...

    @overload
    def __getitem__(self, key: list[Any] | slice | NDArray[Any]) -> Comparison: ...

    def __getitem__(self, key: Any) -> float | Comparison:
        """Return CKA of one pair, ``result["layer1", "layer4"]``, or the comparison of some.

        A representation is given by its position, its name (of `names`), a value of a label field
        that no other representation has, or a mapping of label fields. A list of them, a slice of
        positions or a mask gives the comparison of these representations.

        Raises
        ------
        InputError
            No representation matches, or several do.
        """
        from fastcka.core import selection

        if isinstance(key, list | slice | np.ndarray):
            positions = selection.positions_of(self.labels, key, "result[...]")
            return selection.subset_of(self, positions)
        i, j = (
            selection.position_of(self.labels, each, "result[...]")
            for each in selection.require_pair(key)
        )
        return float(self.cka[i, j])

    def sel(self, **fields: Any) -> Comparison:
        """Return the comparison of the representations with these labels.

        Each argument is a label field with its value, or with a list of values of which one
        matches: ``result.sel(model="vit", layer=["block1", "block2"])``. `q_value` is then over
        the pairs that are left; all other values stay the same.

        Raises
        ------
        InputError
            There is no such field, or no representation matches.
        """
        from fastcka.core.selection import positions_with, subset_of

        return subset_of(self, positions_with(self.labels, fields))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to one .npz file, which `numpy.load` reads too (nothing is pickled).

        The file appears under its name only when it is complete.

        Raises
        ------
        InputError
            If the name does not end in .npz, its folder does not exist, or a label is not a JSON
            value.
        WriteError
            If the file cannot be written.
        """
        from fastcka.core.comparison_file import write_comparison

        write_comparison(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Comparison:
        """Read a comparison that `save` wrote.

        Raises
        ------
        InputError
            If the file is not a saved comparison, or was saved by a newer version.
        """
        from fastcka.core.comparison_file import read_fields

        return cls(**read_fields(path))


def label_text(label: Mapping[str, Any]) -> str:
    """Return the values of a label on one line; the members of a list are joined by "+"."""

    def text(value: Any) -> str:
        if isinstance(value, tuple):
            return " ".join(map(text, value))
        return "+".join(map(str, value)) if isinstance(value, list) else str(value)

    return " ".join(map(text, label.values()))
