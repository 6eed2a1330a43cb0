"""All measures of a group, and their record in the provenance."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastcka.core.device_arrays import refuse_device_views
from fastcka.core.measures.cost import cost_of
from fastcka.core.measures.measure import Measure
from fastcka.core.measures.members import Member, Values, embedded
from fastcka.core.measures.table import MEASURES, MeasureName
from fastcka.core.sums import Matrix
from fastcka.core.views import ArrayView, View
from fastcka.errors import InputError
from fastcka.memory import require_memory
from fastcka.out_of_memory import named_shortage

CONSTANT = "zero variance: no feature varies over the examples"


@dataclass(frozen=True, slots=True)
class Measured:
    """The values of the measures of a group.

    Attributes
    ----------
    matrices
        Name -> (M, M) float64.
    record
        Name -> options, seconds, and ``of_each``: lists with a value for each representation, such
        as its bandwidth, or ``undefined``, the reason why it has no values (None: it has).
    """

    matrices: dict[MeasureName, Matrix]
    record: dict[MeasureName, dict[str, Any]]

    @property
    def seconds(self) -> float:
        """The time that the measures took."""
        return float(sum(each["seconds"] for each in self.record.values()))


def measured(views: Sequence[View], names: Sequence[str], measures: Sequence[Measure]) -> Measured:
    """Compute the measures other than linear CKA.

    Raises
    ------
    InputError
        A value is not finite, or a measure is not defined for so few examples.
    DeviceError
        A view is on a GPU.
    OutOfMemoryError
        More memory is needed than is free.
    """
    wanted = [measure for measure in measures if MEASURES[measure.name].function is not None]
    refuse_device_views(views, names, "measures other than cka are computed on the CPU only")
    members = [
        Member(view, name)
        for view, name in zip(views, names, strict=True)
        if isinstance(view, ArrayView)
    ]
    result = Measured({}, {})
    varying = [i for i, member in enumerate(members) if not member.is_constant]
    for measure in wanted:
        start = time.perf_counter()
        require_memory(
            cost_of(measure, members[0].shape[0], [member.shape[1] for member in members]).bytes,
            f"the measure {measure.name} of {len(members):,} representations",
            "compare fewer or narrower representations at once, or leave the measure out",
        )
        with named_shortage(f"the measure {measure.name}", "compare fewer representations at once"):
            values = _values([members[i] for i in varying], measure)
        reasons = dict.fromkeys(set(range(len(members))).difference(varying), CONSTANT)
        values = embedded(values, varying, reasons, len(members))
        of_each = dict(values.of_each)
        if values.undefined:
            of_each["undefined"] = [values.undefined.get(i) for i in range(len(members))]
        result.matrices[measure.name] = values.matrix
        result.record[measure.name] = {
            **measure.options,
            "of_each": of_each,
            "seconds": time.perf_counter() - start,
        }
    return result


def _values(members: Sequence[Member], measure: Measure) -> Values:
    function = MEASURES[measure.name].function
    if not members or function is None:
        return Values(np.empty((0, 0)))
    try:
        return function(members, measure)
    except np.linalg.LinAlgError as error:
        raise InputError(
            f"measures: {measure.name}: a decomposition failed ({error}): leave the measure out"
        ) from error


def undefined_members(facts: Mapping[str, Any]) -> dict[int, str]:
    """Return position -> why a measure has no values for it, from the measure's record."""
    reasons = facts["of_each"].get("undefined", [])
    return {position: reason for position, reason in enumerate(reasons) if reason}


def record_of(
    record: dict[str, dict[str, Any]], positions: Sequence[int]
) -> dict[str, dict[str, Any]]:
    """Return the record for some of the representations."""
    return {
        name: {
            **facts,
            "of_each": {
                each: [values[i] for i in positions] for each, values in facts["of_each"].items()
            },
        }
        for name, facts in record.items()
    }
