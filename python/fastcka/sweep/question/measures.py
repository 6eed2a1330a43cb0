"""The field ``measures`` of ``sweep.yaml``."""

from __future__ import annotations

from fastcka.core.measures.measure import parse_measures
from fastcka.errors import InputError


def parse_measures_field(value: object) -> object:
    """Return the measures of the field; `ValueError` if they are not allowed."""
    try:
        return parse_measures(value)
    except InputError as error:
        raise ValueError(str(error).removeprefix("measures: ")) from None
