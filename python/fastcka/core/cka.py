"""The one-line functions."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcka.core.backend import resolve_threads
from fastcka.core.base_plan import Precision
from fastcka.core.compare import compare, result_of
from fastcka.core.device_name import Device, checked_device
from fastcka.core.estimators import (
    HSIC_ESTIMATORS,
    Estimates,
    Estimator,
    HsicEstimator,
    check_estimator,
)
from fastcka.core.options import Options, Units
from fastcka.core.plain import plain_estimates
from fastcka.core.request import Group
from fastcka.errors import DegenerateWarning


def cka(
    x: Any,
    y: Any,
    *,
    estimator: Estimator = "unbiased",
    device: Device = "auto",
    precision: Precision = "high",
    threads: int | None = None,
    units: Units = "independent",
    memory: int | str | None = None,
) -> float:
    """Linear Centered Kernel Alignment of two representations of the same examples.

    Parameters
    ----------
    x, y
        Arrays of shape (n_examples, n_features); the numbers of features may differ. See `compare`
        for dtypes and what counts as an array.
    estimator
        "unbiased" (needs 4 examples; in [-1, 1], near 0 for unrelated data) or "biased" (needs 2;
        in [0, 1], close to 1 for unrelated data with many more features than examples), or
        "feature_corrected" (needs 4; for features that are a sample; see `compare`).
    device, precision, threads, units, memory
        As in `compare`.

    Returns
    -------
    float
        1 for representations that are equal up to a translation, an orthogonal transformation and
        an isotropic scale. ``cka(x, y)`` and ``cka(y, x)`` are bitwise equal on a CPU, and equal up
        to rounding on a GPU. NaN, with a `DegenerateWarning`, if a representation is constant or,
        for "unbiased", if its unbiased self-HSIC is zero (for example if its examples are all
        equidistant) or too small for the precision.

    Raises
    ------
    InputError, DeviceError, OutOfMemoryError
        As `compare`.

    Examples
    --------
    >>> import numpy as np, fastcka
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((500, 16))
    >>> q, _ = np.linalg.qr(rng.standard_normal((16, 16)))
    >>> round(fastcka.cka(x, 3 * x @ q), 6)
    1.0
    """
    estimates = _estimates(x, y, estimator, device, precision, threads, units, memory)
    _warn_undefined(estimates.undefined, ("x", "y"))
    return float(estimates.cka[0, 1])


def hsic(
    x: Any,
    y: Any,
    *,
    estimator: HsicEstimator = "unbiased",
    device: Device = "auto",
    precision: Precision = "high",
    threads: int | None = None,
    memory: int | str | None = None,
) -> float:
    """Hilbert-Schmidt independence criterion of two representations, linear kernel.

    The "biased" one is HSIC_0 of Gretton et al. 2005 (eq. 9), with 1/(n-1)^2; the "unbiased" one is
    HSIC_1 of Song et al. 2012 (eq. 5). Units: those of x, squared, times those of y, squared.
    Parameters and errors as in `cka`.

    Examples
    --------
    >>> import numpy as np, fastcka
    >>> x = np.array([[1.0], [2.0], [3.0]])
    >>> fastcka.hsic(x, x, estimator="biased")  # (n-1)^2 cov(x, x)^2 / (n-1)^2
    1.0
    """
    check_estimator(estimator, HSIC_ESTIMATORS)
    estimates = _estimates(x, y, estimator, device, precision, threads, memory=memory)
    return float(estimates.hsic[0, 1])


def cka_matrix(
    representations: Sequence[Any] | Mapping[Any, Any],
    *,
    estimator: Estimator = "unbiased",
    device: Device = "auto",
    precision: Precision = "high",
    threads: int | None = None,
    memory: int | str | None = None,
) -> NDArray[np.float64]:
    """Linear CKA of all unique pairs in one fused pass.

    Parameters
    ----------
    representations
        M arrays of shape (n_examples, n_features_i), or a mapping with these as values.
    estimator, device, precision, threads, memory
        As in `cka`.

    Returns
    -------
    ndarray
        (M, M) float64, symmetric, with a diagonal of ones. If CKA is undefined for a
        representation, its row and column are NaN, and a `DegenerateWarning` names it and the
        reason.

    Raises
    ------
    InputError, DeviceError, OutOfMemoryError
        As `compare`.
    """
    result = compare(
        representations,
        estimator=estimator,
        device=device,
        precision=precision,
        threads=threads,
        memory=memory,
    )
    names = result.names
    if not isinstance(representations, Mapping):
        names = [f"representations[{i}]" for i in range(len(names))]
    _warn_undefined(result.undefined, names)
    return result.cka


def _estimates(
    x: Any,
    y: Any,
    estimator: Estimator,
    device: Device,
    precision: Precision,
    threads: int | None,
    units: Units = "independent",
    memory: int | str | None = None,
) -> Estimates:
    used, _ = resolve_threads(threads)
    name = device if isinstance(device, str) else checked_device(device)
    try:
        options = _options(estimator, name, precision, used, units)
    except TypeError:  # not hashable, so not allowed either
        options = Options.checked(estimator, name, precision, used, None, units=units)
    estimates = plain_estimates((x, y), options) if memory is None else None
    if estimates is not None:
        return estimates[estimator]
    return result_of(Group({"x": x, "y": y}, memory=memory), options).estimates(estimator)


@lru_cache(maxsize=64)
def _options(
    estimator: Estimator, device: str, precision: Precision, threads: int, units: Units
) -> Options:
    """Return checked options; cached, because the checks take a tenth of a small call."""
    return Options.checked(estimator, device, precision, threads, None, units=units)


def _warn_undefined(undefined: Mapping[int, str], names: Sequence[str]) -> None:
    for position, reason in undefined.items():
        warnings.warn(
            f"CKA with {names[position]} is NaN: {reason}", DegenerateWarning, stacklevel=3
        )
