"""CKA of nested random samples of the examples, from one pass."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from fastcka.core.backend import Progress
from fastcka.core.base_plan import Precision
from fastcka.core.comparison import label_text
from fastcka.core.estimators import MIN_EXAMPLES, HsicEstimator
from fastcka.core.members import refuse_lists_of_matrices
from fastcka.core.options import Options
from fastcka.core.request import Described, Group
from fastcka.core.result import Result
from fastcka.core.subsets import Subsets
from fastcka.core.work import begin, finish
from fastcka.errors import InputError, MissingExtraError
from fastcka.figures import write_figure
from fastcka.line_plot import draw_lines

if TYPE_CHECKING:
    import pandas as pd

    from fastcka.figures import Axes, Figure

#: Default sizes: all examples, half of them, a quarter, ..., down to this many.
LEAST_SIZE = 16


@dataclass(frozen=True, eq=False)
class Curve:
    """CKA of all pairs of M representations for S numbers of examples.

    Attributes
    ----------
    labels
        A mapping from field to value for each representation.
    estimator
        The estimator of `cka`.
    sizes
        (S,) int64: numbers of examples, increasing.
    biased, unbiased
        (S, M, M) float64: CKA of the first examples of a random order. NaN where undefined.
    seed
        Of the random order.
    """

    labels: tuple[dict[str, Any], ...]
    estimator: HsicEstimator
    sizes: NDArray[np.int64]
    biased: NDArray[np.float64]
    unbiased: NDArray[np.float64]
    seed: int

    @property
    def cka(self) -> NDArray[np.float64]:
        """(S, M, M) float64: CKA by the chosen estimator."""
        return self.biased if self.estimator == "biased" else self.unbiased

    @property
    def names(self) -> list[str]:
        """One display name for each representation."""
        return [label_text(label) for label in self.labels]

    def __repr__(self) -> str:
        sizes = ", ".join(map(str, self.sizes))
        return f"Curve({len(self.labels)} representations, {sizes} examples, {self.estimator})"

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row for each pair and number of examples.

        The columns are every label field as ``<field>_a`` and ``<field>_b``, ``n_examples``,
        ``estimator``, ``cka``, ``cka_biased`` and ``cka_unbiased``.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingExtraError.of("to_dataframe", "pandas", "report") from error
        count, m = len(self.sizes), len(self.labels)
        a, b = (np.repeat(side, count) for side in np.triu_indices(m, 1))
        sample = np.tile(np.arange(count), m * (m - 1) // 2)
        fields = list(dict.fromkeys(name for label in self.labels for name in label))
        columns: dict[str, Any] = {}
        for side, positions in (("a", a), ("b", b)):
            for name in fields:
                columns[f"{name}_{side}"] = [self.labels[i].get(name) for i in positions]
        columns["n_examples"] = self.sizes[sample]
        columns["estimator"] = self.estimator
        columns["cka"] = self.cka[sample, a, b]
        columns["cka_biased"] = self.biased[sample, a, b]
        columns["cka_unbiased"] = self.unbiased[sample, a, b]
        return pd.DataFrame(columns, index=pd.RangeIndex(len(a)))

    @overload
    def plot(
        self,
        path: str | os.PathLike[str] | None = ...,
        *,
        title: str | None = ...,
        ax: None = ...,
    ) -> Figure: ...

    @overload
    def plot(
        self, path: str | os.PathLike[str] | None = ..., *, title: str | None = ..., ax: Axes
    ) -> Axes: ...

    def plot(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        title: str | None = None,
        ax: Axes | None = None,
    ) -> Figure | Axes:
        """Draw CKA over the number of examples, and write it to ``path`` if given.

        Each pair is a line. The suffix of the path is the format. ``ax`` are Axes to draw into,
        which are then returned; the default is a new figure.

        Raises
        ------
        InputError
            If the folder of the file does not exist, or there is no such format.
        WriteError
            If the file cannot be written.
        """
        pairs = list(combinations(range(len(self.labels)), 2))
        names = self.names
        figure = draw_lines(
            self.sizes,
            [self.cka[:, i, j] for i, j in pairs],
            [f"{names[i]}, {names[j]}" for i, j in pairs],
            title=title,
            x_label="number of examples (log scale)",
            y_label=f"CKA ({self.estimator})",
            ax=ax,
        )
        if path is not None:
            write_figure(figure, path)
        return figure if ax is None else ax


def curve(
    representations: Sequence[Any] | Mapping[Any, Any],
    sizes: Sequence[int] | None = None,
    *,
    labels: Sequence[Any] | None = None,
    estimator: HsicEstimator = "unbiased",
    seed: int = 0,
    precision: Precision = "high",
    threads: int | None = None,
    progress: Progress | None = None,
) -> Curve:
    """Compute CKA over the number of examples: of nested random samples, from one pass.

    The examples are put into one random order. Each sample contains the first ones, so that a
    larger sample contains the smaller ones, and the values of neighbouring sizes depend on each
    other. If the values still change at the largest sizes, more examples are needed.

    Parameters
    ----------
    representations
        M arrays of shape (n_examples, n_features_i), or a mapping from label to array, as in
        `fastcka.compare`; on the CPU.
    sizes
        Numbers of examples, increasing, at most n_examples. Default: n_examples, half of it, a
        quarter and so on, down to 16.
    labels, estimator, precision, threads, progress
        As in `fastcka.compare`.
    seed
        Of the random order.

    Returns
    -------
    Curve

    Raises
    ------
    InputError
        A size is smaller than the estimator needs or larger than the number of examples; sizes do
        not increase; or as `fastcka.compare`.
    DeviceError
        Arrays are on a GPU.
    OutOfMemoryError
        As `fastcka.compare`.

    Examples
    --------
    >>> import numpy as np, fastcka
    >>> x = np.random.default_rng(0).standard_normal((100, 8))
    >>> fastcka.curve([x, x[:, :4]], sizes=[25, 50, 100]).cka.shape
    (3, 2, 2)
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"seed: expected a non-negative integer, got {seed!r}")
    if estimator not in ("biased", "unbiased"):
        raise InputError(f"estimator: expected biased or unbiased, got {estimator!r}")
    wanted: list[int] = []

    def subsets_of(n_examples: int) -> Subsets:
        wanted[:] = _sizes(sizes, n_examples, estimator)
        order = np.random.default_rng(seed).permutation(n_examples)
        fold = np.empty(n_examples, np.int64)
        fold[order] = np.searchsorted(wanted, np.arange(n_examples), side="right")
        return Subsets(fold, nested=True)

    checked = Options.checked(estimator, "cpu", precision, threads, progress)
    options = replace(checked, subsets_of=subsets_of)
    group = Described.of_group(Group(representations, labels))
    refuse_lists_of_matrices(group.arrays, group.names)
    (result,) = finish([begin(group, options, alone=True)], options)
    if not isinstance(result, Result):
        raise result
    return Curve(
        labels=group.labels,
        estimator=estimator,
        sizes=np.asarray(wanted, np.int64),
        biased=_values(result, "biased", len(wanted)),
        unbiased=_values(result, "unbiased", len(wanted)),
        seed=int(seed),
    )


def _values(result: Result, estimator: HsicEstimator, count: int) -> NDArray[np.float64]:
    # One more subset contains all examples if the largest size does not.
    return np.stack([each.cka for each in result.of_subsets(estimator)[:count]])


def _sizes(sizes: Sequence[int] | None, n_examples: int, estimator: HsicEstimator) -> list[int]:
    if sizes is None:
        halves = [n_examples >> k for k in range(n_examples.bit_length())]
        return [n_examples, *(size for size in halves[1:] if size >= LEAST_SIZE)][::-1]
    wanted = np.asarray(sizes)
    if wanted.ndim != 1 or wanted.size == 0 or wanted.dtype.kind not in "iu":
        raise InputError(f"sizes: expected a sequence of integers, got {sizes!r}")
    if (np.diff(wanted) <= 0).any():
        raise InputError(f"sizes: expected increasing numbers of examples, got {wanted.tolist()}")
    least = MIN_EXAMPLES[estimator]
    if wanted[0] < least or wanted[-1] > n_examples:
        raise InputError(
            f"sizes: expected from {least} (the least number of examples of the {estimator} "
            f"estimator) to {n_examples} (all examples), got {wanted.tolist()}"
        )
    return [int(size) for size in wanted]
