"""The labelled result of a pass."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastcka.core.estimators import Estimator
from fastcka.core.inference.fdr import q_values
from fastcka.core.inference.moments import Moments
from fastcka.core.inference.null import Null, biased_null, unbiased_null
from fastcka.core.inference.options import Inference
from fastcka.core.saved import read_fields, require_folder, write_comparison
from fastcka.core.tables import dataframe_of, dataset_of
from fastcka.errors import InputError
from fastcka.files import replaced_stream

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from fastcka.heatmap import Figure

Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Comparison:
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
        precision, products, implementation, route, tile, chunk, threads, flops, seconds,
        kernel_function, and the plan as text; on a GPU also rank_chunk and overrides.
    undefined
        Position of a representation -> the reason why its row and column are NaN for the chosen
        estimator.
    feature_corrected
        (M, M) float64: unbiased CKA, corrected for a sample of features; see `compare`.
    stderr, ci_low, ci_high
        (M, M) float64: standard error and interval over examples; None unless ``inference`` was
        asked for.
    moments
        Numbers of each representation from which the null distribution of every pair follows; None
        in a file that an earlier version saved.
    inference
        The options of p-values and intervals; None if they were not asked for.
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
    feature_corrected: Matrix | None = None
    stderr: Matrix | None = None
    ci_low: Matrix | None = None
    ci_high: Matrix | None = None
    moments: Moments | None = None
    inference: Inference | None = None

    @property
    def cka(self) -> Matrix:
        """(M, M) float64: CKA by the chosen estimator."""
        return self._by(self.estimator)

    def _by(self, estimator: Estimator) -> Matrix:
        if estimator == "feature_corrected":
            nothing = np.full_like(self.unbiased, np.nan)
            return nothing if self.feature_corrected is None else self.feature_corrected
        return self.biased if estimator == "biased" else self.unbiased

    @property
    def hsic(self) -> Matrix:
        """(M, M) float64: HSIC by the chosen estimator (unbiased for "feature_corrected")."""
        return self.hsic_biased if self.estimator == "biased" else self.hsic_unbiased

    @cached_property
    def _null(self) -> Null | None:
        moments = self.moments
        if moments is None:
            return None
        if self.estimator == "biased":
            return biased_null(moments, self.n_examples)
        null = unbiased_null(moments, self.n_examples)
        if self.estimator == "unbiased":
            return null
        return null.scaled(1 / np.sqrt(np.outer(moments.self_ratio, moments.self_ratio)))

    @property
    def null_mean(self) -> Matrix | None:
        """(M, M): the mean of `cka` if the examples of one representation are permuted."""
        return None if self._null is None else self._null.mean

    @property
    def null_sd(self) -> Matrix | None:
        """(M, M): the standard deviation of `cka` under permutation."""
        return None if self._null is None else self._null.sd

    @cached_property
    def z(self) -> Matrix | None:
        """(M, M): the distance of `cka` from `null_mean` in units of `null_sd`."""
        return None if self._null is None else self._null.z(self.cka)

    @cached_property
    def p_value(self) -> Matrix | None:
        """(M, M): p-values under permutation; None unless ``inference`` was asked for.

        From a distribution of Pearson type III with the exact mean, variance and skewness. NaN for
        fewer than 6 examples. 0 means below 1e-307. `Inference.alternative` says which tails.
        """
        if self._null is None or self.inference is None:
            return None
        return self._null.p_value(self.cka, self.inference.alternative)

    @cached_property
    def q_value(self) -> Matrix | None:
        """(M, M): Benjamini-Hochberg q-values over `pairs`; NaN for all other entries."""
        if self.p_value is None:
            return None
        a, b = self.pairs.T
        matrix = np.full_like(self.p_value, np.nan)
        matrix[a, b] = matrix[b, a] = q_values(self.p_value[a, b])
        return matrix

    @cached_property
    def calibrated(self) -> Matrix | None:
        """(M, M): `cka` beyond chance, from 0 to 1 (Groeger et al. 2026).

        0 up to the quantile `Inference.level` of the null distribution, above it the share of the
        way from there to 1.
        """
        if self._null is None or self.inference is None:
            return None
        return self._null.calibrated(self.cka, self.inference.level)

    @property
    def names(self) -> list[str]:
        """One display name for each representation."""
        return [label_text(label) for label in self.labels]

    def __repr__(self) -> str:
        return (
            f"Comparison({len(self.labels)} representations, {len(self.pairs)} pairs, "
            f"{self.n_examples} examples, {self.estimator})"
        )

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row for each of `pairs`.

        The columns are every label field as ``<field>_a`` and ``<field>_b``, ``n_examples``,
        ``estimator``, ``cka``, ``cka_biased``, ``cka_unbiased``, ``hsic_biased``,
        ``hsic_unbiased``, and each further matrix that this comparison has, by its name.
        """
        return dataframe_of(self)

    def to_xarray(self) -> xr.Dataset:
        """Return all matrices with dimensions a and b and each label field as a coordinate."""
        return dataset_of(self)

    def plot(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        title: str | None = None,
        estimator: Estimator | None = None,
    ) -> Figure:
        """Draw a heatmap of CKA, and write it to ``path`` if given (the suffix is the format).

        All cells are drawn, even if `pairs` lists only some of them. The default of ``estimator``
        is the estimator of the comparison.

        Raises
        ------
        InputError
            If the folder of the file does not exist, or there is no such format.
        WriteError
            If the file cannot be written.
        """
        from fastcka.heatmap import draw_heatmap

        estimator = self.estimator if estimator is None else estimator
        figure = draw_heatmap(
            self._by(estimator),
            self.names,
            title=title,
            estimator=estimator,
            n_examples=self.n_examples,
        )
        if path is not None:
            path = Path(path)
            path = path if path.suffix else path.with_name(f"{path.name}.png")
            require_folder(path)
            try:
                with replaced_stream(path) as file:
                    figure.savefig(file, format=path.suffix[1:])
            except ValueError as error:  # no such format
                raise InputError(f"{path}: cannot be written: {error}") from error
        return figure

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
        write_comparison(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Comparison:
        """Read a comparison that `save` wrote.

        Raises
        ------
        InputError
            If the file is not a saved comparison, or was saved by a newer version.
        """
        return cls(**read_fields(path))


def label_text(label: Mapping[str, Any]) -> str:
    """Return the values of a label on one line; the members of a list are joined by "+"."""

    def text(value: Any) -> str:
        if isinstance(value, tuple):
            return " ".join(map(text, value))
        return "+".join(map(str, value)) if isinstance(value, list) else str(value)

    return " ".join(map(text, label.values()))
