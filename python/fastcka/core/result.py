"""The results of a group, from the sums of its pass."""

from __future__ import annotations

import numpy as np

from fastcka.core.base_plan import Plan
from fastcka.core.comparison import Comparison
from fastcka.core.estimators import HSIC_ESTIMATORS, Estimates, Estimator, HsicEstimator, estimate
from fastcka.core.inference.corrected import correct, self_ratios
from fastcka.core.inference.jackknife import Jackknife, jackknife
from fastcka.core.inference.matched import corrected_numerators, matched_terms
from fastcka.core.inference.moments import moments_of
from fastcka.core.options import Options
from fastcka.core.plain import PlainValues
from fastcka.core.provenance import provenance_of
from fastcka.core.request import Described, Request
from fastcka.core.subsets import estimates_of
from fastcka.core.sums import Matrix, Sums, Vector
from fastcka.core.views import View
from fastcka.errors import InputError

#: The comparison of a group, or why it cannot be compared.
Outcome = Comparison | InputError


class Result:
    """The estimates of a group and the other contents of a `Comparison`, without the arrays.

    An estimate is computed at its first use.
    """

    def __init__(self, request: Described | Request, options: Options) -> None:
        self.names = request.names
        self._labels = request.labels
        self._pairs = request.pairs
        self._options = options
        self._subsets = request.subsets if isinstance(request, Request) else None
        self._estimates: dict[Estimator, Estimates] = {}
        self._of_subsets: dict[HsicEstimator, list[Estimates]] = {}
        self._views: tuple[View, ...] = ()
        self._terms: Matrix | None = None
        if options.units == "same" and isinstance(request, Request):
            if request.staged:
                raise InputError("units='same' needs arrays that the pass does not overwrite")
            self._views = request.views

    def put(self, sums: Sums, plan: Plan, seconds: float, cublas_version: int = 0) -> None:
        """Take the sums of a pass; they replace those of an earlier pass."""
        self._sums = sums
        self._plan = plan
        self._seconds = seconds
        self._cublas_version = cublas_version
        self._estimates.clear()
        self._of_subsets.clear()
        if self._views:
            self._terms = matched_terms(self._views, self.names, sums.exponent)

    def put_values(self, values: PlainValues) -> None:
        """Take the sums and estimates of a pass over plain arrays."""
        self.put(values.sums, values.plan, values.sums.seconds)
        self._estimates.update(values.estimates)

    def estimates(self, estimator: Estimator) -> Estimates:
        """Return HSIC and CKA of all pairs by an estimator."""
        if estimator not in self._estimates:
            self._estimates[estimator] = (
                self._corrected()
                if estimator == "feature_corrected"
                else estimate(self._sums, estimator)
            )
        return self._estimates[estimator]

    def _corrected(self) -> Estimates:
        unbiased, widths = self.estimates("unbiased"), self._plan.n_features
        corrected = correct(unbiased, self._ratios, widths)
        if self._terms is not None:
            corrected.cka = corrected_numerators(
                self._sums, self._terms, unbiased.cka, self._ratios
            )
        return corrected

    @property
    def _ratios(self) -> Vector:
        return self_ratios(self._sums, np.array(self._plan.n_features))

    @property
    def imprecise(self) -> frozenset[int]:
        """Positions of the representations that need wider products."""
        if self._sums.products == "float64":
            return frozenset()
        estimates = [
            each
            for estimator in HSIC_ESTIMATORS
            for each in (self.estimates(estimator), *self.of_subsets(estimator))
        ]
        return frozenset().union(*(each.imprecise for each in estimates))

    def comparison(self) -> Comparison:
        """Return the estimates with their labels."""
        options = self._options
        biased, unbiased = self.estimates("biased"), self.estimates("unbiased")
        return Comparison(
            labels=self._labels,
            estimator=options.estimator,
            n_examples=self._sums.n_examples,
            biased=biased.cka,
            unbiased=unbiased.cka,
            hsic_biased=biased.hsic,
            hsic_unbiased=unbiased.hsic,
            pairs=self._pairs,
            provenance=provenance_of(
                self._plan, seconds=self._seconds, cublas_version=self._cublas_version
            ),
            undefined=self.estimates(options.estimator).undefined,
            feature_corrected=(
                None if self._sums.column_terms is None else self.estimates("feature_corrected").cka
            ),
            moments=moments_of(self._sums, self._ratios) if options.has_null else None,
            inference=options.inference,
            **self._jackknife(),
        )

    def of_subsets(self, estimator: HsicEstimator) -> list[Estimates]:
        """Return HSIC and CKA of all pairs for each subset of the examples, if any were wanted."""
        if self._subsets is None:
            return []
        if estimator not in self._of_subsets:
            self._of_subsets[estimator] = estimates_of(self._sums, self._subsets, estimator)
        return self._of_subsets[estimator]

    def _jackknife(self) -> dict[str, Matrix]:
        """Return the matrices of the jackknife, NaN for too few examples; nothing unless asked."""
        if self._options.inference is None:
            return {}
        matrices = {}
        nothing = np.full_like(self._sums.s0, np.nan)
        for estimator in HSIC_ESTIMATORS:
            of_all = Jackknife(nothing, nothing, nothing)
            if self._subsets is not None:
                without = np.stack([each.cka for each in self.of_subsets(estimator)])
                sizes = self._subsets.fold_sizes
                of_all = jackknife(without, self.estimates(estimator).cka, sizes)
            for name in ("stderr", "fisher_mean", "fisher_sd"):
                matrices[f"{name}_{estimator}"] = getattr(of_all, name)
        return matrices
