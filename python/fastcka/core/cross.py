"""The result of a pass over two sets of representations, A x B."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastcka.core.comparison import Comparison, Matrix

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from fastcka.core.estimators import Estimator
    from fastcka.core.measures.table import MeasureName
    from fastcka.figures import Axes, Figure


@dataclass(frozen=True, eq=False)
class CrossComparison:
    """CKA of each of A representations with each of B others: a rectangle of a `Comparison`.

    Each matrix is that of `square`, cut to the rows of the first set and the columns of the second.

    Attributes
    ----------
    square
        The comparison of all A + B representations, from the same pass. Its `pairs` are A x B, so
        that q-values are over these pairs.
    n_rows
        A, the number of representations of the first set, which are the first in `square`.
    """

    square: Comparison
    n_rows: int

    @property
    def labels_a(self) -> tuple[dict[str, Any], ...]:
        """The labels of the first set, one for each row."""
        return self.square.labels[: self.n_rows]

    @property
    def labels_b(self) -> tuple[dict[str, Any], ...]:
        """The labels of the second set, one for each column."""
        return self.square.labels[self.n_rows :]

    @property
    def names_a(self) -> list[str]:
        """One display name for each row."""
        return self.square.names[: self.n_rows]

    @property
    def names_b(self) -> list[str]:
        """One display name for each column."""
        return self.square.names[self.n_rows :]

    @property
    def estimator(self) -> Estimator:
        """The estimator of `cka`."""
        return self.square.estimator

    @property
    def n_examples(self) -> int:
        """Number of examples."""
        return self.square.n_examples

    @property
    def provenance(self) -> dict[str, Any]:
        """How the values were computed, as `Comparison.provenance`."""
        return self.square.provenance

    @property
    def undefined(self) -> dict[str, str]:
        """Name -> the reason why the row or column is NaN for the chosen estimator."""
        names = [f"a: {name}" for name in self.names_a] + [f"b: {name}" for name in self.names_b]
        return {names[i]: why for i, why in self.square.undefined.items()}

    @property
    def cka(self) -> Matrix:
        """(A, B) float64: CKA by the chosen estimator."""
        return self._cut(self.square.cka)

    @property
    def biased(self) -> Matrix:
        """(A, B) float64: CKA by the biased estimator."""
        return self._cut(self.square.biased)

    @property
    def unbiased(self) -> Matrix:
        """(A, B) float64: CKA by the unbiased estimator."""
        return self._cut(self.square.unbiased)

    def measure(self, name: MeasureName) -> Matrix:
        """Return the values of a measure, (A, B) float64; see `Comparison.measure`."""
        return self._cut(self.square.measure(name))

    @property
    def hsic(self) -> Matrix:
        """(A, B) float64: HSIC, as `Comparison.hsic`."""
        return self._cut(self.square.hsic)

    @property
    def feature_corrected(self) -> Matrix | None:
        """(A, B) float64: as `Comparison.feature_corrected`."""
        return self._cut_if_any(self.square.feature_corrected)

    @property
    def null_mean(self) -> Matrix | None:
        """(A, B) float64: as `Comparison.null_mean`."""
        return self._cut_if_any(self.square.null_mean)

    @property
    def null_sd(self) -> Matrix | None:
        """(A, B) float64: as `Comparison.null_sd`."""
        return self._cut_if_any(self.square.null_sd)

    @property
    def z(self) -> Matrix | None:
        """(A, B) float64: as `Comparison.z`."""
        return self._cut_if_any(self.square.z)

    @property
    def p_value(self) -> Matrix | None:
        """(A, B) float64: as `Comparison.p_value`."""
        return self._cut_if_any(self.square.p_value)

    @property
    def q_value(self) -> Matrix | None:
        """(A, B) float64: Benjamini-Hochberg q-values over the A x B pairs."""
        return self._cut_if_any(self.square.q_value)

    @property
    def calibrated(self) -> Matrix | None:
        """(A, B) float64: as `Comparison.calibrated`."""
        return self._cut_if_any(self.square.calibrated)

    @property
    def stderr(self) -> Matrix | None:
        """(A, B) float64: as `Comparison.stderr`."""
        return self._cut_if_any(self.square.stderr)

    @property
    def ci_low(self) -> Matrix | None:
        """(A, B) float64: as `Comparison.ci_low`."""
        return self._cut_if_any(self.square.ci_low)

    @property
    def ci_high(self) -> Matrix | None:
        """(A, B) float64: as `Comparison.ci_high`."""
        return self._cut_if_any(self.square.ci_high)

    def _cut(self, matrix: Matrix) -> Matrix:
        return matrix[: self.n_rows, self.n_rows :]

    def _cut_if_any(self, matrix: Matrix | None) -> Matrix | None:
        return None if matrix is None else self._cut(matrix)

    def __repr__(self) -> str:
        rows, columns = self.cka.shape
        return (
            f"CrossComparison({rows} x {columns} representations, {self.n_examples} examples, "
            f"{self.estimator})"
        )

    def _repr_html_(self) -> str:
        from fastcka.core.html import html_of

        return html_of(self.square, self.n_rows, repr(self))

    def __getitem__(self, key: tuple[Any, Any]) -> float:
        """Return CKA of one pair: ``result["layer1", "layer4"]``, row and column.

        Each is a position, a name, a value of a label field or a mapping of label fields.

        Raises
        ------
        InputError
            No representation of the set matches, or several do.
        """
        from fastcka.core.selection import position_of, require_pair

        a, b = require_pair(key)
        row = position_of(self.labels_a, a, "row")
        return float(self.cka[row, position_of(self.labels_b, b, "column")])

    def sel(self, **fields: Any) -> CrossComparison:
        """Return the comparison of the rows and columns with these labels.

        ``<field>_a`` selects rows and ``<field>_b`` columns, as the columns of `to_dataframe` are
        named; a label field alone selects both: ``result.sel(layer_a="conv1", step=100)``. Each
        argument is a value, or a list of values that may match. `q_value` is then over the
        pairs that are left; all other values stay the same.

        Raises
        ------
        InputError
            There is no such field, or no row or no column matches.
        """
        from fastcka.core.selection import positions_of_sides, subset_of

        rows, columns = positions_of_sides(self.labels_a, self.labels_b, fields)
        square = subset_of(self.square, [*rows, *(self.n_rows + column for column in columns)])
        return CrossComparison(square, len(rows))

    def methods(self) -> str:
        """Return a paragraph for the methods of a paper; see `Comparison.methods`."""
        return self.square.methods()

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row for each of the A x B pairs; columns as `Comparison.to_dataframe`."""
        return self.square.to_dataframe()

    def to_xarray(self) -> xr.Dataset:
        """Return all matrices with dimensions a (A) and b (B); see `Comparison.to_xarray`."""
        from fastcka.core.tables import dataset_of_cells

        return dataset_of_cells(self.square, slice(self.n_rows), slice(self.n_rows, None))

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
        """Draw an A x B heatmap of CKA; see `Comparison.plot`."""
        from fastcka.core.drawing import draw_comparison

        return draw_comparison(
            self.square,
            self.n_rows,
            path,
            title,
            estimator,
            mark_chance=mark_chance,
            blocks=blocks,
            ax=ax,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything to one .npz file; see `Comparison.save`."""
        from fastcka.core.comparison_file import write_comparison

        write_comparison(self.square, path, n_rows=self.n_rows)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> CrossComparison:
        """Read what `save` wrote; errors as `Comparison.load`."""
        from fastcka.core.comparison_file import read_two_sets

        fields, n_rows = read_two_sets(path)
        return cls(Comparison(**fields), n_rows)
