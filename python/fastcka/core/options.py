"""The options of a call."""

from __future__ import annotations

from fastcka.core.backend import Progress, resolve_threads
from fastcka.core.base_plan import Precision
from fastcka.core.device import check_device, check_precision
from fastcka.core.estimators import Estimator, check_estimator
from fastcka.errors import InputError


class Options:
    """The checked options of a call."""

    def __init__(
        self,
        estimator: Estimator,
        device: str,
        precision: Precision,
        threads: int | None,
        progress: Progress | None,
    ) -> None:
        check_estimator(estimator)
        if progress is not None and not callable(progress):
            raise InputError(f"progress must be callable or None, got {progress!r}")
        check_precision(precision)
        check_device(device)
        self.estimator = estimator
        self.device = device
        self.precision = precision
        self.threads, _ = resolve_threads(threads)
        self.progress = progress
