"""CKA with kernels that are not linear, in float64 by NumPy on the CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from fastcka.arrays import aligned
from fastcka.core.arrays import as_view
from fastcka.core.measures.cost import cost_of
from fastcka.core.measures.measure import Measure
from fastcka.core.measures.members import Member
from fastcka.core.measures.rbf import gaussian_cka
from fastcka.core.views import DeviceView
from fastcka.errors import DeviceError, InputError
from fastcka.memory import require_memory

Kernel = Literal["rbf"]

BANDWIDTHS = 1e6
"""Largest bandwidth, and the inverse of the smallest: in float64 the limits are reached there."""


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
        The distances of a representation, 4 n_examples^2 bytes, need more memory than is free.

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
    first, second = _member(x, "x"), _member(y, "y")
    n = first.shape[0]
    if second.shape[0] != n:
        raise InputError(
            f"x has {n} examples and y has {second.shape[0]}: both must have the same examples in "
            "the same order"
        )
    if n < 2:
        raise InputError("x and y: expected at least 2 examples, got 1")
    require_memory(
        cost_of(Measure("rbf_cka"), n, [first.shape[1], second.shape[1]]).bytes,
        f"comparing {n:,} examples by Gaussian kernels",
        "choose fewer examples, or the linear kernel",
    )
    values = gaussian_cka([first, second], "median", bandwidth)
    width_x, width_y = values.of_each["bandwidth_used"]
    return KernelSimilarity(float(values.matrix[0, 1]), (width_x, width_y), values.undefined)


def _member(x: Any, name: str) -> Member:
    view = as_view(x, name)
    if isinstance(view, DeviceView):
        raise DeviceError(f"{name} is on a CUDA device: copy it to the host first")
    return Member(view, name)
