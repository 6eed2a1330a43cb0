"""The measures as objects with the interface of ReSi's ``RepresentationalSimilarityMeasure``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

from fastcka.errors import InputError, MissingExtraError
from fastcka.registries.axes import checked_axes
from fastcka.registries.table import MEASURES, RegisteredMeasure

Shape = Literal["nd", "ntd", "nchw"]
"""The axes of both arrays: n examples, t tokens, d features, c channels, h and w positions."""

_AXES: Final[dict[str, int]] = {"nd": 2, "ntd": 3, "nchw": 4}
_MOST_POSITIONS: Final = 5000
"""Of n rows of positions, ReSi takes every k-th, with k = n // 5000."""


@dataclass(frozen=True, kw_only=True)
class ResiMeasure:
    """A measure with the attributes and the call of ReSi.

    ``measure(R, Rp, shape)`` returns a float. As in ReSi, "ntd" makes a row of every token. For
    "nchw", CKA flattens channels and positions into features. The measures of Procrustes make a row
    of every position, after averaging images to the smaller height and the smaller width.
    From 10,000 rows on, they take every second row, from 15,000 on every third, and so on.

    Attributes
    ----------
    name
        The name of the class in ReSi, or a new one for a measure that ReSi does not have.
    sim_func
        The function of ``R``, ``Rp`` and ``shape``.
    larger_is_more_similar, is_symmetric, is_metric
        See `RegisteredMeasure`.
    invariant_to_affine, invariant_to_invertible_linear, invariant_to_ortho
        Whether such maps of the features leave the value unchanged.
    invariant_to_permutation, invariant_to_isotropic_scaling, invariant_to_translation
        The same for permutations, one factor for all features, and constants.
    """

    name: str
    sim_func: Callable[[Any, Any, Shape], float]
    larger_is_more_similar: bool
    is_symmetric: bool
    is_metric: bool
    invariant_to_affine: bool
    invariant_to_invertible_linear: bool
    invariant_to_ortho: bool
    invariant_to_permutation: bool
    invariant_to_isotropic_scaling: bool
    invariant_to_translation: bool

    def __call__(self, R: Any, Rp: Any, shape: Shape) -> float:
        """Return the value for two arrays or tensors of the same examples.

        Raises
        ------
        InputError
            If there is no such shape, or an array has another number of axes.
        """
        return self.sim_func(R, Rp, shape)


def resi_measures() -> dict[str, ResiMeasure]:
    """Return name -> measure, as ``repsim.measures.ALL_MEASURES`` of ReSi."""
    return {
        measure.class_name: _with_flags(measure, measure.class_name)
        for measure in MEASURES
        if measure.class_name is not None
    }


def _with_flags(measure: RegisteredMeasure, name: str) -> ResiMeasure:
    return ResiMeasure(
        name=name,
        sim_func=partial(_of_shape, measure),
        larger_is_more_similar=measure.larger_is_more_similar,
        is_symmetric=measure.is_symmetric,
        is_metric=measure.is_metric,
        invariant_to_affine="affine" in measure.invariances,
        invariant_to_invertible_linear="invertible-linear" in measure.invariances,
        invariant_to_ortho="orthogonal" in measure.invariances,
        invariant_to_permutation="permutation" in measure.invariances,
        invariant_to_isotropic_scaling="isotropic-scaling" in measure.invariances,
        invariant_to_translation="translation" in measure.invariances,
    )


def _of_shape(measure: RegisteredMeasure, R: Any, Rp: Any, shape: Shape) -> float:
    if shape not in _AXES:
        raise InputError(f"shape: expected 'nd', 'ntd' or 'nchw', got {shape!r}")
    count = _AXES[shape]
    for name, x in (("R", R), ("Rp", Rp)):
        checked_axes(name, x, (count,), f"{count} axes for shape {shape!r}")
    if shape == "ntd":
        R, Rp = (x.reshape(-1, x.shape[-1]) for x in (R, Rp))
    elif shape == "nchw" and measure.measure.name == "procrustes":
        R, Rp = _positions(R, Rp)
    elif shape == "nchw":
        R, Rp = (x.reshape(x.shape[0], -1) for x in (R, Rp))
    return measure.value(R, Rp, names=("R", "Rp"), stacklevel=4)


def _positions(R: Any, Rp: Any) -> list[Any]:
    """Return arrays (n, c, h, w) as rows of positions, (n h w, c), as many in both."""
    height, width = (min(R.shape[axis], Rp.shape[axis]) for axis in (2, 3))
    rows = []
    for x in (R, Rp):
        if x.shape[2:] != (height, width):
            x = _averaged(x, height, width)
        channels = x.reshape(*x.shape[:2], height * width).swapaxes(1, 2)
        each = channels.reshape(-1, x.shape[1])
        rows.append(each[:: max(1, len(each) // _MOST_POSITIONS)])
    return rows


def _averaged(x: Any, height: int, width: int) -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError.of("nchw of different sizes", "torch", "torch") from error
    return torch.nn.functional.adaptive_avg_pool2d(
        torch.as_tensor(x, dtype=torch.float64), (height, width)
    )
