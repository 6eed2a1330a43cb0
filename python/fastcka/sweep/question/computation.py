"""How the values of a sweep are computed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastcka.core.measures.measure import Measure


class Computation(NamedTuple):
    """How values are computed.

    Attributes
    ----------
    precision
        Of the products.
    inferred
        How p-values and intervals are computed, as text; empty if they are not. The numbers serve
        every level and side.
    measures
        The measures besides CKA with their options, as JSON; empty if there are none.
    """

    precision: str
    inferred: str
    measures: str


def measures_text(measures: Sequence[Measure]) -> str:
    """Return measures with their options as JSON; "" without any."""
    written = [measure.to_dict() for measure in measures]
    return json.dumps(written, sort_keys=True) if written else ""
