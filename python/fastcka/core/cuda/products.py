"""The products that a pass on a CUDA device takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastcka.core.base_plan import (
    FEW_EXAMPLES,
    MANY_FEATURES,
    MANY_FEATURES_PER_PAIR,
    Precision,
)
from fastcka.core.cuda.cost import Cost, CudaProducts

#: A pass of fewer flops (by the cheaper route) runs in float64.
FEW_FLOPS = 2e7
#: Tensor cores truncate sums, which makes Gram entries too small by 4e-6 for 5000 features. In the
#: unbiased CKA of d independent features that leaves d/n^2 of it (3e-5 for 64 examples of 4096
#: features). From d = n^2/32 on, float32 products are taken, which cost little there.
WIDE_FEATURES_PER_PAIR = 1 / 32


def choose_products(
    n: int,
    n_features: Sequence[int],
    precision: Precision,
    costs: Mapping[CudaProducts, Cost],
    transfer: float,
    full_float64: bool,
) -> tuple[CudaProducts, str]:
    """The products for a precision, and why.

    Parameters
    ----------
    transfer
        Seconds of the copy from the host.
    full_float64
        Whether the device's float64 is as fast as its float32.
    """
    if precision == "float64":
        return "float64", "precision float64"
    if n <= FEW_EXAMPLES:
        return "float64", f"{n} examples are too few for rounding to average out"
    if min(costs["float64"].flops.values()) < FEW_FLOPS:
        return "float64", f"fewer than {FEW_FLOPS / 1e6:.0f} Mflop"
    if max(n_features) > MANY_FEATURES:
        return "float64", f"float32 sums of {max(n_features)} features are too long"
    if max(n_features) > n**2 * MANY_FEATURES_PER_PAIR:
        return "float64", f"more than {MANY_FEATURES_PER_PAIR} features a pair of examples"
    if precision == "fast":
        return "float16", "precision fast"
    if max(n_features) > n**2 * WIDE_FEATURES_PER_PAIR:
        return "float32", f"{n} examples of {max(n_features)} features would show truncation"
    seconds = {products: cost.seconds[cost.route] for products, cost in costs.items()}
    hides = "they hide behind the copy from the host"
    if full_float64 and seconds["float64"] <= transfer:
        return "float64", hides
    if seconds["float32"] <= transfer:
        return "float32", hides
    if seconds["float32"] <= seconds["float16x3"]:
        return "float32", "float16x3 products would take longer"
    return "float16x3", "float32 products would take longer than the copy from the host"
