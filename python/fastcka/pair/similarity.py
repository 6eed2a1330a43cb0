"""Biased CKA of two representations in float64, with a linear or a Gaussian kernel.

Gaussian (RBF): K(a, b) = exp(-|x_a - x_b|^2 / (2 s^2)), where the bandwidth s is the median of the
distances between two examples. Each side has its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fastcka.core import compare
from fastcka.memory import require_memory

if TYPE_CHECKING:
    from numpy.typing import NDArray

KernelType = Literal["linear", "rbf"]


@dataclass(frozen=True, slots=True)
class Similarity:
    """The similarity of two representations.

    Attributes
    ----------
    cka
        NaN where it is undefined.
    undefined
        Why it is, or an empty text.
    device
        What it was computed on.
    bandwidths
        Of the Gaussian kernels, in units of distance; None for linear ones.
    """

    cka: float
    undefined: str
    device: str
    bandwidths: tuple[float, float] | None = None


def similarity(x: NDArray[Any], y: NDArray[Any], *, kernel: KernelType, device: str) -> Similarity:
    """Return biased CKA of (n_examples, d) and (n_examples, e) of the same examples in one order.

    The Gaussian kernel takes 24 n_examples^2 bytes.
    """
    if kernel == "rbf":
        require_memory(
            24 * len(x) ** 2,
            f"the Gaussian kernel of {len(x):,} examples",
            "choose fewer examples (city_filter) or kernel_type: linear",
        )
        return _gaussian(x, y)
    compared = compare(
        {"exp1": x, "exp2": y}, estimator="biased", precision="float64", device=device
    )
    reasons = {f"exp{at + 1}": reason for at, reason in compared.undefined.items()}
    return Similarity(
        float(compared.biased[0, 1]), _reasons_text(reasons), str(compared.provenance["device"])
    )


def _gaussian(x: NDArray[Any], y: NDArray[Any]) -> Similarity:
    (k, width_x), (m, width_y) = _centered_kernel(x), _centered_kernel(y)
    reasons = {
        name: "the median distance between its examples is zero"
        for name, width in (("exp1", width_x), ("exp2", width_y))
        if width == 0
    }
    if reasons:
        return Similarity(float("nan"), _reasons_text(reasons), "cpu", (width_x, width_y))
    cka = np.vdot(k, m) / np.sqrt(np.vdot(k, k) * np.vdot(m, m))
    return Similarity(float(cka), "", "cpu", (width_x, width_y))


def _centered_kernel(x: NDArray[Any]) -> tuple[NDArray[np.float64], float]:
    """Return H K H, (n_examples, n_examples), and the bandwidth; zeros where that is zero."""
    values = np.asarray(x, dtype=np.float64).reshape(len(x), -1)
    # A common shift changes no distance, and spares |a|^2 + |b|^2 - 2ab its cancellation.
    values = values - values.mean(axis=0)
    norms = np.einsum("ij,ij->i", values, values)
    kernel = values @ values.T
    kernel *= -2
    kernel += norms[:, None]
    kernel += norms
    np.maximum(kernel, 0, out=kernel)
    np.fill_diagonal(kernel, 0)
    distances = np.concatenate([kernel[row, row + 1 :] for row in range(len(kernel))])
    bandwidth = float(np.median(np.sqrt(distances, out=distances)))
    if bandwidth == 0:
        return np.zeros_like(kernel), 0.0
    kernel *= -1 / (2 * bandwidth**2)
    np.exp(kernel, out=kernel)
    kernel -= kernel.mean(axis=0)
    kernel -= kernel.mean(axis=1)[:, None]
    return kernel, bandwidth


def _reasons_text(reasons: dict[str, str]) -> str:
    return "; ".join(f"{side}: {reason}" for side, reason in reasons.items())
