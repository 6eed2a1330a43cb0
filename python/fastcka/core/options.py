"""The checked options of a call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from fastcka.core.backend import Progress, resolve_threads
from fastcka.core.base_plan import Precision
from fastcka.core.device import check_precision
from fastcka.core.device_name import Device, checked_device
from fastcka.core.estimators import Estimator, check_estimator
from fastcka.core.inference.folds import make_folds
from fastcka.core.inference.options import Inference, parse_inference
from fastcka.core.subsets import Subsets, SubsetsOf
from fastcka.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Units = Literal["independent", "same"]


@dataclass(frozen=True, slots=True)
class Options:
    """The checked options of a call; `threads` is a number."""

    estimator: Estimator
    device: str
    precision: Precision
    threads: int
    progress: Progress | None
    inference: Inference | None = None
    units: Units = "independent"
    subsets_of: SubsetsOf | None = None

    @property
    def needs_cpu(self) -> str:
        """What only the CPU computes, as text; empty if nothing is asked for."""
        if self.subsets_of is not None:
            return "a curve"
        if self.inference is not None:
            return "inference=True"
        if self.units == "same":
            return "units='same'"
        return "estimator 'feature_corrected'" if self.estimator == "feature_corrected" else ""

    @property
    def has_null(self) -> bool:
        """Whether the null distribution of the chosen estimate is known in closed form."""
        return not (self.estimator == "feature_corrected" and self.units == "same")

    def subsets(self, n_examples: int, blocks: ArrayLike | None) -> Subsets | None:
        """Return the subsets of the examples whose sums are wanted too; None: of none."""
        if self.subsets_of is not None:
            return self.subsets_of(n_examples)
        if self.inference is None or self.inference.folds == 0:
            return None
        return make_folds(n_examples, folds=self.inference.folds, blocks=blocks)

    @classmethod
    def checked(
        cls,
        estimator: Estimator,
        device: Device,
        precision: Precision,
        threads: int | None,
        progress: Progress | None,
        inference: object = False,
        units: Units = "independent",
    ) -> Options:
        """Return the options; raise `InputError` for a value that is not allowed."""
        check_estimator(estimator)
        if progress is not None and not callable(progress):
            raise InputError(f"progress must be callable or None, got {progress!r}")
        if units not in get_args(Units):
            raise InputError(f"units must be one of {', '.join(get_args(Units))}, got {units!r}")
        check_precision(precision)
        name = checked_device(device)
        used, _ = resolve_threads(threads)
        options = cls(estimator, name, precision, used, progress, parse_inference(inference), units)
        if options.inference is not None and not options.has_null:
            raise InputError(
                "inference: the null distribution of estimator 'feature_corrected' with "
                "units='same' is not known: use units='independent', or inference=False"
            )
        return options
