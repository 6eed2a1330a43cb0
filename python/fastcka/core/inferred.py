"""What follows from the moments of a comparison: chance level, p-values, calibrated values."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcka.core.sums import Matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastcka.core.estimators import Estimator
    from fastcka.core.inference.jackknife import Jackknife
    from fastcka.core.inference.moments import Moments
    from fastcka.core.inference.null import Null
    from fastcka.core.inference.options import Inference


class InferredMatrices:
    """The matrices of a `Comparison` that are computed when they are asked for."""

    estimator: Estimator
    n_examples: int
    pairs: NDArray[np.int64]
    inference: Inference | None
    provenance: dict[str, Any]

    if TYPE_CHECKING:

        @property
        def moments(self) -> Moments | None:
            """The numbers of each representation."""

        @property
        def cka(self) -> Matrix:
            """(M, M) float64: CKA by the chosen estimator."""

    @cached_property
    def _null(self) -> Null | None:
        moments = self.moments
        if moments is None:
            return None
        from fastcka.core.inference.null import biased_null, unbiased_null

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
        from fastcka.core.inference.fdr import q_values

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
    def stderr(self) -> Matrix | None:
        """(M, M): standard error of `cka` over examples; None unless ``inference`` was asked for.

        By a delete-block jackknife (Busing, Meijer and van der Leeden 1999). None for
        "feature_corrected". It does not cover other seeds or models.
        """
        return None if self._jackknife is None else self._jackknife.stderr

    @property
    def ci_low(self) -> Matrix | None:
        """(M, M): lower end of the interval over examples, at `Inference.level`; as `stderr`."""
        return None if self._interval is None else self._interval[0]

    @property
    def ci_high(self) -> Matrix | None:
        """(M, M): upper end of the interval; see `ci_low`."""
        return None if self._interval is None else self._interval[1]

    @cached_property
    def _jackknife(self) -> Jackknife | None:
        if self.estimator == "feature_corrected":
            return None
        stderr, mean, sd = (
            getattr(self, f"{name}_{self.estimator}")
            for name in ("stderr", "fisher_mean", "fisher_sd")
        )
        if stderr is None:
            return None
        from fastcka.core.inference.jackknife import Jackknife

        return Jackknife(stderr, mean, sd)

    @cached_property
    def _interval(self) -> tuple[Matrix, Matrix] | None:
        if self._jackknife is None or self.inference is None:
            return None
        folds = self.provenance.get("folds", 0)
        if folds < 2:  # too few examples
            return self._jackknife.stderr, self._jackknife.stderr
        lowest = 0.0 if self.estimator == "biased" else -1.0
        return self._jackknife.interval(self.inference.level, folds, lowest)
