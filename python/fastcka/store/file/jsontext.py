"""The JSON attributes of files: factors and provenance."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final, NoReturn

import numpy as np

from fastcka.errors import InputError

MAX_JSON_BYTES: Final = 60_000
"""HDF5 keeps attributes of at most 64 KiB in the object header, which has a checksum."""


def canonical(value: object) -> str:
    """Return the canonical JSON text of a value: equal texts mean equal values and types."""
    return json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":"))


def dump_attribute(argument: str, value: Mapping[str, Any]) -> str:
    """Return the JSON text of an attribute.

    Raises
    ------
    InputError
        If JSON cannot represent a value, or the text is longer than `MAX_JSON_BYTES`.
    """
    try:
        text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{argument}: expected values that JSON can represent: {error}") from None
    if len(text) > MAX_JSON_BYTES:
        raise InputError(
            f"{argument}: expected at most {MAX_JSON_BYTES} bytes as JSON, got {len(text)}"
        )
    return text


def parse_object(text: str | bytes) -> dict[str, Any]:
    """Return the object that a JSON text contains.

    Raises
    ------
    ValueError
        If the text is not JSON (NaN and Infinity are not), is nested too deeply, or contains no
        object.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, got {type(value).__name__}")
    return value


def checked_factors(factors: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return factors as JSON scalars and lists of JSON scalars.

    NumPy scalars become Python scalars, and tuples become lists.

    Raises
    ------
    InputError
        If a name is not a string or a value is neither a scalar nor a list of scalars.
    """
    if factors is None:
        return {}
    if not isinstance(factors, Mapping):
        raise InputError(f"factors: expected a mapping, got {type(factors).__name__}")
    checked: dict[str, Any] = {}
    for name, value in factors.items():
        if not isinstance(name, str) or not name:
            raise InputError(f"factors: expected names that are non-empty strings, got {name!r}")
        if isinstance(value, list | tuple):
            checked[name] = [_scalar(name, item) for item in value]
        else:
            checked[name] = _scalar(name, value)
    return checked


def factor_difference(
    some: Mapping[str, Any], others: Mapping[str, Any]
) -> tuple[str, str, str] | None:
    """Return the first factor that differs and both values as text, or None.

    1, 1.0 and True are different values, as in JSON.
    """
    for name in [*some, *(name for name in others if name not in some)]:
        one, other = (
            canonical(factors[name]) if name in factors else "nothing" for factors in (some, others)
        )
        if one != other:
            return name, one, other
    return None


def _scalar(name: str, value: object) -> object:
    plain = value.item() if isinstance(value, np.generic) else value
    if plain is None or isinstance(plain, bool | int | str):
        return plain
    if isinstance(plain, float) and math.isfinite(plain):
        return plain
    raise InputError(
        f"factors[{name!r}]: expected a string, finite number, boolean or None, or a list of "
        f"these, got {value!r}"
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
