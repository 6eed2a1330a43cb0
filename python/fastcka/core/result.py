"""The results of a group, from the sums of its pass."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcka.core.comparison import Comparison
from fastcka.core.deferred import Later
from fastcka.core.estimators import HSIC_ESTIMATORS, Estimates, Estimator, HsicEstimator, estimate
from fastcka.core.inference.corrected import correct, corrected_matrix, self_ratios
from fastcka.core.inference.matched import corrected_numerators, matched_terms
from fastcka.core.inference.moments import Moments, moments_of
from fastcka.core.options import Options
from fastcka.core.plain import PlainValues
from fastcka.core.plan import PassPlan
from fastcka.core.provenance import provenance_of
from fastcka.core.request import Described, Request
from fastcka.core.subsets import estimates_of
from fastcka.core.sums import Matrix, SelfSums, Sums, Vector
from fastcka.core.views import View
from fastcka.errors import InputError, StoreError

if TYPE_CHECKING:
    from fastcka.core.cuda.plan import CudaPlan
    from fastcka.core.streaming.plan import StreamPlan

#: The comparison of a group, or why it cannot be compared.
Outcome = Comparison | InputError | StoreError


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
        self._measured = request.measured if isinstance(request, Request) else None
        self._estimates: dict[Estimator, Estimates] = {}
        self._of_subsets: dict[HsicEstimator, list[Estimates]] = {}
        self._views: tuple[View, ...] = ()
        self._terms: Matrix | None = None
        if options.units == "same" and isinstance(request, Request):
            if request.staged:
                raise InputError("units='same' needs arrays that the pass does not overwrite")
            self._views = request.views

    def put(
        self,
        sums: Sums,
        plan: PassPlan | CudaPlan | StreamPlan,
        seconds: float,
        cublas_version: int = 0,
    ) -> None:
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
        return _ratios_of(SelfSums.of_sums(self._sums), self._plan.n_features)

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
        selves, widths = SelfSums.of_sums(self._sums), self._plan.n_features
        return Comparison(
            labels=self._labels,
            estimator=options.estimator,
            n_examples=self._sums.n_examples,
            biased=biased.cka,
            unbiased=unbiased.cka,
            hsic_biased=biased.hsic,
            hsic_unbiased=unbiased.hsic,
            pairs=self._pairs,
            provenance=self._provenance(),
            undefined=self.estimates(options.estimator).undefined,
            feature_corrected=self._feature_corrected(selves),
            moments=Later(partial(_moments, selves, widths)) if options.has_null else None,
            inference=options.inference,
            measures={} if self._measured is None else self._measured.matrices,
            **self._jackknife(),
        )

    def _provenance(self) -> dict[str, Any]:
        seconds = self._seconds + (0 if self._measured is None else self._measured.seconds)
        provenance = provenance_of(self._plan, seconds=seconds, cublas_version=self._cublas_version)
        if self._measured is not None:
            provenance["measures"] = self._measured.record
        return provenance

    def of_subsets(self, estimator: HsicEstimator) -> list[Estimates]:
        """Return HSIC and CKA of all pairs for each subset of the examples, if any were wanted."""
        if self._subsets is None:
            return []
        if estimator not in self._of_subsets:
            self._of_subsets[estimator] = estimates_of(self._sums, self._subsets, estimator)
        return self._of_subsets[estimator]

    def _jackknife(self) -> dict[str, Matrix]:
        """Return the matrices of the jackknife, NaN for too few examples; nothing unless asked."""
        if self._options.inference is None or self._options.inference.folds == 0:
            return {}
        from fastcka.core.inference.jackknife import Jackknife, jackknife

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

    def _feature_corrected(self, selves: SelfSums) -> Matrix | Later[Matrix] | None:
        if self._sums.column_terms is None:
            return None
        if self._terms is not None or self._options.estimator == "feature_corrected":
            return self.estimates("feature_corrected").cka
        unbiased = self.estimates("unbiased").cka
        return Later(partial(_corrected, unbiased, selves, self._plan.n_features))


# Functions of the sums of each representation with itself, which a `Comparison` keeps until its
# first reader: in a small call, they would take a third of the time.


def _ratios_of(sums: SelfSums, n_features: Sequence[int]) -> Vector:
    return self_ratios(sums, np.array(n_features))


def _moments(sums: SelfSums, n_features: Sequence[int]) -> Moments:
    return moments_of(sums, _ratios_of(sums, n_features))


def _corrected(unbiased: Matrix, sums: SelfSums, n_features: Sequence[int]) -> Matrix:
    return corrected_matrix(unbiased, _ratios_of(sums, n_features))
