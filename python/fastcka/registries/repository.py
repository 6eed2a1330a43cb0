"""The measures as functions under the identifiers of similarity-repository."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from numbers import Real
from typing import Any, Final

from fastcka.errors import InputError
from fastcka.registries.axes import checked_axes
from fastcka.registries.table import MEASURES, RegisteredMeasure

_PREFIX: Final = "measure/fastcka/"


def repository_measures() -> dict[str, Callable[..., float]]:
    """Return identifier -> function, for ``similarity.register(identifier, function)``.

    Identifiers have the form of similarity-repository, ``measure/<repository>/<name>``, such as
    ``measure/fastcka/cka-kernel=linear-hsic=gretton-score``. The names are its standardized names;
    ``distance=chord`` is new. A function takes X and Y, two arrays of shape
    (n_samples, n_features), and returns a float. If they have a third axis, the first two are
    merged, so the last one contains the features. Those with ``{sigma}`` in their name have a third
    argument, ``sigma=1.0``, the bandwidth of both Gaussian kernels in the units of the data.
    """
    return {
        _PREFIX + measure.name: partial(_of_width if measure.takes_width else _of_two, measure)
        for measure in MEASURES
    }


def repository_cards() -> dict[str, dict[str, Any]]:
    """Return identifier -> card of each measure, in the form of similarity-repository.

    The fields are ``name``, ``score`` (larger is more similar, and 1 for equal representations),
    ``metric``, ``invariances`` and ``paper``; ``props`` repeats the two flags as a list.
    """
    cards = {}
    for measure in MEASURES:
        flags = {"score": measure.larger_is_more_similar, "metric": measure.is_metric}
        cards[_PREFIX + measure.name] = {
            "props": [flag for flag, value in flags.items() if value],
            **flags,
            "name": measure.title,
            "invariances": sorted(measure.invariances),
            "paper": list(measure.papers),
        }
    return cards


def _of_two(measure: RegisteredMeasure, X: Any, Y: Any) -> float:
    return measure.value(_rows("X", X), _rows("Y", Y), names=("X", "Y"), stacklevel=3)


def _of_width(measure: RegisteredMeasure, X: Any, Y: Any, sigma: float = 1.0) -> float:
    if isinstance(sigma, bool) or not isinstance(sigma, Real) or not 0 < sigma < math.inf:
        raise InputError(f"sigma: expected a positive number, got {sigma!r}")
    x, y = _rows("X", X), _rows("Y", Y)
    return measure.value(x, y, width=float(sigma), names=("X", "Y"), stacklevel=3)


def _rows(name: str, x: Any) -> Any:
    expected = "(n_samples, n_features), or a third axis before the features"
    shape = checked_axes(name, x, (2, 3), expected)
    return x.reshape(-1, shape[-1]) if len(shape) == 3 else x
