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

    from fastcka.core.measures.measure import Measure

Units = Literal["independent", "same"]
#: The argument ``measures`` if nothing else is asked for.
DEFAULT_MEASURES: tuple[Literal["cka"]] = ("cka",)


@dataclass(frozen=True, slots=True)
class Options:
    """The checked options of a call; `threads` is a number, `measures` are those besides CKA."""

    estimator: Estimator
    device: str
    precision: Precision
    threads: int
    progress: Progress | None
    inference: Inference | None = None
    units: Units = "independent"
    subsets_of: SubsetsOf | None = None
    measures: tuple[Measure, ...] = ()

    @property
    def needs_cpu(self) -> str:
        """What only the CPU computes, as text; empty if nothing is asked for."""
        if self.subsets_of is not None:
            return "a curve"
        if self.measures:
            return f"the measure {self.measures[0].name}"
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
        measures: object = DEFAULT_MEASURES,
    ) -> Options:
        """Return the options; raise `InputError` for a value that is not allowed."""
        check_estimator(estimator)
        check_progress(progress)
        if units not in get_args(Units):
            raise InputError(f"units must be one of {', '.join(get_args(Units))}, got {units!r}")
        check_precision(precision)
        name = checked_device(device)
        used, _ = resolve_threads(threads)
        options = cls(
            estimator,
            name,
            precision,
            used,
            progress,
            parse_inference(inference),
            units,
            measures=_further(measures),
        )
        if options.inference is not None and not options.has_null:
            raise InputError(
                "inference: the null distribution of estimator 'feature_corrected' with "
                "units='same' is not known: use units='independent', or inference=False"
            )
        return options


def check_progress(progress: object) -> None:
    """Refuse what cannot be called."""
    if progress is not None and not callable(progress):
        raise InputError(f"progress must be callable or None, got {progress!r}")


def _further(measures: object) -> tuple[Measure, ...]:
    """Return the measures besides linear CKA, which the pass computes."""
    if measures is DEFAULT_MEASURES:  # so that small calls do not import the measures
        return ()
    from fastcka.core.measures.measure import parse_measures, without_cka

    return without_cka(parse_measures(measures))
