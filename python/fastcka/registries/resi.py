"""The measures as objects with the interface of ReSi's ``RepresentationalSimilarityMeasure``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

from fastcka.errors import InputError
from fastcka.registries.table import MEASURES

if TYPE_CHECKING:
    from fastcka.registries.table import RegisteredMeasure

Shape = Literal["nd", "ntd", "nchw"]
"""The axes of both arrays: n examples, t tokens, d features, c channels, h and w positions."""

_AXES: Final[dict[str, int]] = {"nd": 2, "ntd": 3, "nchw": 4}


@dataclass(frozen=True, kw_only=True)
class ResiMeasure:
    """A measure with the attributes and the call of ReSi.

    ``measure(R, Rp, shape)`` returns a float. As in ReSi, "ntd" makes a row of every token, and
    "nchw" flattens channels and positions into features.

    Attributes
    ----------
    name
        The name of the class in ReSi.
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
    return {measure.class_name: _with_flags(measure) for measure in MEASURES}


def _with_flags(measure: RegisteredMeasure) -> ResiMeasure:
    return ResiMeasure(
        name=measure.class_name,
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
    return measure.function(_flat("R", R, shape), _flat("Rp", Rp, shape))


def _flat(name: str, x: Any, shape: Shape) -> Any:
    if shape not in _AXES:
        raise InputError(f"shape: expected 'nd', 'ntd' or 'nchw', got {shape!r}")
    if x.ndim != _AXES[shape]:
        raise InputError(
            f"{name}: expected {_AXES[shape]} axes for shape {shape!r}, got an array of shape "
            f"{tuple(x.shape)}"
        )
    return x.reshape(-1, x.shape[-1]) if shape == "ntd" else x.reshape(x.shape[0], -1)
