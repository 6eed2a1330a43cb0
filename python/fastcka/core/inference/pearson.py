"""The distribution of Pearson type III: a shifted gamma distribution, given by three moments.

The variable is standardised (mean 0, variance 1) and has skewness g. With a = 4/g^2 and a gamma
variable G of shape a it is (G - a)/sqrt(a) for g > 0, minus that for g < 0, and normal for g = 0.
Tail probabilities keep their relative precision down to the smallest float64, 1e-308; a smaller one
is 0.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

#: Up to this shape, series and continued fractions; beyond it, quadrature of a smooth integrand.
LARGE_SHAPE = 2_000.0
#: With a skewness below this, the distribution is normal to 1e-9 of a tail of 1e-300.
NORMAL_SKEWNESS = 1e-13
_TERMS = 2_000
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(80)


def tail(x: ArrayLike, skewness: ArrayLike) -> Floats:
    """Return P(X >= x) elementwise; NaN where an argument is NaN."""
    at, skew = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(skewness, np.float64))
    result = np.full(at.shape, np.nan)
    known = ~(np.isnan(at) | np.isnan(skew))
    normal = known & (np.abs(skew) < NORMAL_SKEWNESS)
    result[normal] = _normal_tail(at[normal])
    for sign in (1, -1):
        chosen = known & ~normal & (np.sign(skew) == sign)
        if chosen.any():
            result[chosen] = _gamma_tail(sign * at[chosen], np.abs(skew[chosen]), upper=sign > 0)
    return result


def density(x: Floats, skewness: Floats) -> Floats:
    """Return the density elementwise."""
    at, skew = np.broadcast_arrays(x, skewness)
    result = np.exp(-(at**2) / 2) / math.sqrt(2 * math.pi)
    curved = np.abs(skew) >= NORMAL_SKEWNESS
    shape = 4 / skew[curved] ** 2
    ratio = 1 + np.sign(skew[curved]) * at[curved] / np.sqrt(shape)
    result[curved] = 0.0
    inside = ratio > 0
    log = _log_front(shape[inside]) - shape[inside] * _phi(ratio[inside])
    values = np.zeros(shape.shape)
    # dG = sqrt(a) dx
    values[inside] = np.exp(log) / ratio[inside] / np.sqrt(shape[inside])
    result[curved] = values
    return result


def quantile(probability: float, skewness: ArrayLike) -> Floats:
    """Return the x with P(X < x) = probability, elementwise; NaN where the skewness is NaN.

    ``probability`` is from 0.5 to 1 - 1e-12.
    """
    skew = np.asarray(skewness, np.float64)
    target = 1 - probability
    normal = _normal_quantile(probability)
    # Wilson and Hilferty's approximation; at 0 it is the normal quantile.
    with np.errstate(divide="ignore", invalid="ignore"):
        h = skew / 6
        start = np.where(np.abs(skew) < 1e-6, normal, ((1 + h * normal - h * h) ** 3 - 1) / (3 * h))
        ends = -2 / skew
    low = np.where(skew > 0, np.maximum(ends, -40.0), -40.0)
    high = np.where(skew < 0, np.minimum(ends, 700.0), 700.0)
    low, high = np.where(np.isnan(skew), np.nan, low), np.where(np.isnan(skew), np.nan, high)
    x = np.clip(start, low, high)
    # Newton's method within a bracket.
    for _ in range(60):
        above = tail(x, skew) - target
        low, high = np.where(above > 0, x, low), np.where(above > 0, high, x)
        slope = density(x, skew)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = above / slope
        stepped = x + step
        inside = (stepped > low) & (stepped < high)
        new = np.where(inside, stepped, (low + high) / 2)
        moved = np.abs(new - x)
        x = new
        if not (moved > 1e-13 * (1 + np.abs(x))).any():
            break
    return x


def _normal_tail(x: Floats) -> Floats:
    return np.array([0.5 * math.erfc(value / math.sqrt(2)) for value in x.ravel()]).reshape(x.shape)


def _normal_quantile(probability: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(probability)


def _gamma_tail(x: Floats, skewness: Floats, *, upper: bool) -> Floats:
    """Return P(G >= a + x sqrt(a)) or, if not ``upper``, P(G <= a + x sqrt(a)), for skewness > 0.

    For negative skewness, P(X >= y) is the lower one at x = -y, so the caller passes that.
    """
    shape = 4 / skewness**2
    ratio = 1 + x / np.sqrt(shape)  # of G to its mean
    result = np.where(ratio > 0, np.nan, 1.0 if upper else 0.0)
    inside = ratio > 0
    for large in (False, True):
        chosen = inside & ((shape > LARGE_SHAPE) == large)
        if chosen.any():
            of = _tail_by_quadrature if large else _tail_by_series
            result[chosen] = of(shape[chosen], ratio[chosen], x[chosen], upper=upper)
    return result


def _log_front(shape: Floats) -> Floats:
    """Return log(a^a e^-a / Gamma(a)), which has no large parts."""
    result = np.empty(shape.shape)
    small = shape < 50
    values = shape[small]
    log_gamma = np.array([math.lgamma(value) for value in values.ravel()])
    result[small] = values * np.log(values) - values - log_gamma
    values = shape[~small]
    stirling = 1 / (12 * values) - 1 / (360 * values**3) + 1 / (1260 * values**5)
    result[~small] = 0.5 * np.log(values / (2 * math.pi)) - stirling
    return result


def _phi(ratio: Floats) -> Floats:
    """Return r - 1 - log r."""
    offset = ratio - 1
    near = np.abs(offset) < 0.01
    series = np.zeros(ratio.shape)
    power = offset[near] ** 2
    total = power / 2
    for k in range(3, 12):
        power = power * -offset[near]
        total = total + power / k
    series[near] = total
    with np.errstate(divide="ignore"):
        return np.where(near, series, offset - np.log(ratio))


def _tail_by_series(shape: Floats, ratio: Floats, _x: Floats, *, upper: bool) -> Floats:
    """Return a tail of the gamma distribution: Abramowitz and Stegun 6.5.29 and 6.5.31."""
    at = shape * ratio
    with np.errstate(under="ignore"):
        front = np.exp(_log_front(shape) - shape * _phi(ratio))  # x^a e^-x / Gamma(a)
    result = np.empty(shape.shape)
    by_series = at < shape + 1
    result[by_series] = front[by_series] * _lower_sum(shape[by_series], at[by_series])
    result[~by_series] = front[~by_series] * _upper_fraction(shape[~by_series], at[~by_series])
    return np.where(by_series == (not upper), result, 1 - result)


def _lower_sum(shape: Floats, x: Floats) -> Floats:
    term = 1 / shape
    total = term.copy()
    for n in range(1, _TERMS):
        term = term * x / (shape + n)
        total += term
        if not (term > 1e-17 * total).any():
            break
    return total


def _upper_fraction(shape: Floats, x: Floats) -> Floats:
    """Return Gamma(a, x) / (x^a e^-x), by Lentz's method."""
    tiny = 1e-300
    b = x + 1 - shape
    c = np.full(shape.shape, 1 / tiny)
    d = 1 / np.where(b == 0, tiny, b)
    fraction = d.copy()
    for n in range(1, _TERMS):
        a = -n * (n - shape)
        b = b + 2
        d = a * d + b
        d = 1 / np.where(np.abs(d) < tiny, tiny, d)
        c = b + a / c
        c = np.where(np.abs(c) < tiny, tiny, c)
        change = c * d
        fraction = fraction * change
        if not (np.abs(change - 1) > 1e-16).any():
            break
    return fraction


def _tail_by_quadrature(shape: Floats, _ratio: Floats, x: Floats, *, upper: bool) -> Floats:
    """Return a tail for large shapes: 80 nodes over the part of the integral that counts."""
    root = np.sqrt(shape)
    sign = 1.0 if upper else -1.0
    # The tail away from the mean is integrated; the other is what is left of 1.
    outer = x * sign >= 0
    start = np.abs(x)
    side = np.where(outer, sign, -sign)
    # exp(-a phi) falls by e^-45 over this distance, in standard deviations: at a point y it falls
    # like exp(-y^2/2) or, where the gamma distribution has a longer tail, exp(-y/(1 + y/root)).
    reach = np.minimum(10.0, 60 * (1 + start / root) / np.maximum(start, 1e-9)) + 0.0
    reach = np.where(side < 0, np.minimum(reach, np.maximum(root - start, 0) * (1 - 1e-12)), reach)
    y = start[..., None] + reach[..., None] * (_NODES + 1) / 2
    ratios = 1 + side[..., None] * y / root[..., None]
    with np.errstate(under="ignore", invalid="ignore", divide="ignore"):
        logs = _log_front(shape)[..., None] - shape[..., None] * _phi(ratios)
        values = np.where(ratios > 0, np.exp(logs) / ratios, 0.0)
    integral = (values * _WEIGHTS).sum(axis=-1) * reach / 2 / root
    result: Floats = np.where(outer, integral, 1 - integral)
    return result
