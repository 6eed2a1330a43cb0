"""The checked options of a call."""

from __future__ import annotations

from dataclasses import dataclass

from fastcka.core.backend import Progress, resolve_threads
from fastcka.core.base_plan import Precision
from fastcka.core.device import check_device, check_precision
from fastcka.core.estimators import ESTIMATORS, Estimator
from fastcka.core.inference.options import Inference, parse_inference
from fastcka.core.subsets import SubsetsOf
from fastcka.errors import InputError


@dataclass(frozen=True, slots=True)
class Options:
    """The checked options of a call; `threads` is a number."""

    estimator: Estimator
    device: str
    precision: Precision
    threads: int
    progress: Progress | None
    inference: Inference | None = None
    subsets_of: SubsetsOf | None = None

    @classmethod
    def checked(
        cls,
        estimator: Estimator,
        device: str,
        precision: Precision,
        threads: int | None,
        progress: Progress | None,
        inference: object = False,
    ) -> Options:
        """Return the options; raise `InputError` for a value that is not allowed."""
        if estimator not in ESTIMATORS:
            raise InputError(f"estimator must be one of {', '.join(ESTIMATORS)}, got {estimator!r}")
        if progress is not None and not callable(progress):
            raise InputError(f"progress must be callable or None, got {progress!r}")
        check_precision(precision)
        check_device(device)
        used, _ = resolve_threads(threads)
        return cls(estimator, device, precision, used, progress, parse_inference(inference))
