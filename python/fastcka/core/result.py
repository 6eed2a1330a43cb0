"""The results of a group, from the sums of its pass."""

from __future__ import annotations

import numpy as np

from fastcka.core.base_plan import Plan
from fastcka.core.comparison import Comparison
from fastcka.core.estimators import Estimates, Estimator, estimate
from fastcka.core.inference.corrected import correct, self_ratios
from fastcka.core.inference.jackknife import intervals
from fastcka.core.inference.moments import Vector, moments_of
from fastcka.core.options import Options
from fastcka.core.provenance import provenance_of
from fastcka.core.request import Request
from fastcka.core.sums import Sums


class Result:
    """The estimates of a group and the other contents of a `Comparison`, without the arrays.

    An estimate is computed at its first use.
    """

    def __init__(self, request: Request, options: Options) -> None:
        self.names = request.names
        self._labels = request.labels
        self._pairs = request.pairs
        self._options = options
        self._subsets = request.subsets
        self._estimates: dict[Estimator, Estimates] = {}

    def put(self, sums: Sums, plan: Plan, seconds: float, cublas_version: int = 0) -> None:
        """Take the sums of a pass; they replace those of an earlier pass."""
        self._sums = sums
        self._plan = plan
        self._seconds = seconds
        self._cublas_version = cublas_version
        self._estimates.clear()

    def estimates(self, estimator: Estimator) -> Estimates:
        """Return HSIC and CKA of all pairs by an estimator."""
        if estimator not in self._estimates:
            if estimator == "feature_corrected":
                found = correct(self.estimates("unbiased"), self._ratios, self._plan.n_features)
            else:
                found = estimate(self._sums, estimator)
            self._estimates[estimator] = found
        return self._estimates[estimator]

    @property
    def sums(self) -> Sums:
        """The sums of the last pass."""
        return self._sums

    @property
    def _ratios(self) -> Vector:
        return self_ratios(self._sums, np.array(self._plan.n_features))

    @property
    def imprecise(self) -> frozenset[int]:
        """Positions of the representations that need wider products."""
        if self._sums.products == "float64":
            return frozenset()
        return self.estimates("biased").imprecise | self.estimates("unbiased").imprecise

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
            feature_corrected=self.estimates("feature_corrected").cka,
            moments=moments_of(self._sums, self._ratios),
            inference=options.inference,
            **self._intervals(),
        )

    def _intervals(self) -> dict[str, Vector]:
        """Return the matrices of the jackknife, if it was asked for."""
        options = self._options
        if options.inference is None or self._subsets is None:
            return {}
        if options.estimator == "feature_corrected":  # not a function of the sums of a subset
            return {}
        found = intervals(
            self._sums, self._subsets, options.estimator, level=options.inference.level
        )
        return {"stderr": found.stderr, "ci_low": found.low, "ci_high": found.high}
