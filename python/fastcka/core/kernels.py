"""CKA with kernels that are not linear, in float64 by NumPy on the CPU."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fastcka.arrays import aligned
from fastcka.core.arrays import as_float64
from fastcka.errors import InputError
from fastcka.memory import require_memory

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

Kernel = Literal["rbf"]

BANDWIDTHS = 1e6
"""Largest bandwidth, and the inverse of the smallest: in float64 the limits are reached there."""


_NO_DISTANCE = "the median distance between its examples is zero"


@dataclass(frozen=True, slots=True)
class KernelSimilarity:
    """The similarity of two representations x and y under a kernel.

    Attributes
    ----------
    cka
        Biased CKA; NaN if it is undefined.
    bandwidths
        Standard deviations s of the Gaussian kernels of x and y, in the units of the data.
    undefined
        Position (0 for x, 1 for y) -> why the similarity is undefined.
    """

    cka: float
    bandwidths: tuple[float, float]
    undefined: dict[int, str]


def kernel_cka(
    x: Any, y: Any, *, kernel: Kernel = "rbf", bandwidth: float = 1.0
) -> KernelSimilarity:
    """Biased CKA of two representations of the same examples under a kernel.

    With the centring matrix H = I - 1/n and the kernel matrices K of x and M of y::

        CKA = <HKH, HMH> / (|HKH| |HMH|)             Kornblith, Norouzi, Lee and Hinton 2019, eq. 4
        K_ab = exp(-|x_a - x_b|^2 / (2 s^2))         "rbf": their section 3
        s = bandwidth * median of |x_a - x_b|        over the pairs of different examples

    M is computed in the same way, with the s of y. The larger the bandwidth, the closer the result
    is to that of the linear kernel.

    Parameters
    ----------
    x, y
        Arrays on the CPU, of shape (n_examples, n_features); see `compare` for what counts as an
        array, and how the rows of tables are matched.
    kernel
        "rbf", the Gaussian kernel.
    bandwidth
        The bandwidth s as a multiple of the median distance, from 1e-6 to 1e6.

    Raises
    ------
    InputError
        For fewer than two examples, different numbers of examples, NaN or infinite values, or a
        kernel or bandwidth that is not allowed.
    DeviceError
        For an array on a CUDA device.
    OutOfMemoryError
        The kernel matrices, 24 n_examples^2 bytes, need more memory than is free.

    Examples
    --------
    >>> import numpy as np
    >>> from fastcka.core import kernel_cka
    >>> x = np.random.default_rng(0).standard_normal((100, 8))
    >>> round(kernel_cka(x, 2 * x).cka, 6)
    1.0
    """
    if kernel != "rbf":
        raise InputError(f"kernel: expected 'rbf', got {kernel!r}")
    if isinstance(bandwidth, bool) or not (
        isinstance(bandwidth, int | float) and 1 / BANDWIDTHS <= bandwidth <= BANDWIDTHS
    ):
        raise InputError(
            f"bandwidth: expected a number from {1 / BANDWIDTHS:g} to {BANDWIDTHS:g} (a multiple "
            f"of the median distance), got {bandwidth!r}"
        )
    x, y = aligned([x, y], ["x", "y"])
    first, second = as_float64(x, "x"), as_float64(y, "y")
    n = len(first)
    if len(second) != n:
        raise InputError(
            f"x has {n} examples and y has {len(second)}: both must have the same examples in the "
            "same order"
        )
    if n < 2:
        raise InputError("x and y: expected at least 2 examples, got 1")
    require_memory(
        24 * n**2,
        f"the Gaussian kernel of {n:,} examples",
        "choose fewer examples, or the linear kernel",
    )
    (k, width_x), (m, width_y) = _centered_rbf(first, bandwidth), _centered_rbf(second, bandwidth)
    widths = (width_x, width_y)
    undefined = {position: _NO_DISTANCE for position, width in enumerate(widths) if width == 0}
    if undefined:
        return KernelSimilarity(math.nan, widths, undefined)
    cka = np.vdot(k, m) / (np.linalg.norm(k) * np.linalg.norm(m))
    return KernelSimilarity(float(np.clip(cka, 0, 1)), widths, {})


def _centered_rbf(x: Matrix, bandwidth: float) -> tuple[Matrix, float]:
    """Return HKH, (n_examples, n_examples), and the width s; zeros if s is zero."""
    # A power of two rounds nothing, and keeps squares in the range of float64.
    exponent = int(np.frexp(np.abs(x).max())[1])
    values = np.ldexp(x, -exponent)
    # A common shift changes no distance. About the median, |a|^2 + |b|^2 - 2ab does not lose the
    # digits of typical distances, even if a few examples are far from all others.
    values -= np.median(values, axis=0)
    norms = np.einsum("ij,ij->i", values, values)
    kernel = values @ values.T
    kernel *= -2
    kernel += norms[:, None]
    kernel += norms
    np.maximum(kernel, 0, out=kernel)
    np.fill_diagonal(kernel, 0)
    distances = np.concatenate([kernel[row, row + 1 :] for row in range(len(kernel))])
    median = float(np.median(np.sqrt(distances, out=distances)))
    if median == 0:
        return np.zeros_like(kernel), 0.0
    kernel *= -0.5 / median**2 / bandwidth**2
    np.expm1(kernel, out=kernel)  # K - 1: centring removes the 1, which would cost digits
    kernel -= kernel.mean(axis=0)
    kernel -= kernel.mean(axis=1)[:, None]
    return kernel, math.ldexp(bandwidth * median, exponent)
