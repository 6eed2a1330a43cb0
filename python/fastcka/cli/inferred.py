"""What ``fastcka cka`` infers about a similarity: as values for JSON, and as lines."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fastcka.errors import OutOfMemoryError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastcka.core import Comparison, Inference

_SMALLEST_P = 1e-307


def first_that_fits(
    compared: Callable[..., Comparison], ways: Sequence[bool | Inference]
) -> Comparison:
    """Return the result of the first way of inference that fits into memory."""
    for way in ways[:-1]:
        try:
            return compared(inference=way)
        except OutOfMemoryError:
            continue
    return compared(inference=ways[-1])


def inferred_values(result: Comparison) -> dict[str, Any]:
    """Return name -> value of the first pair, None where it was not computed."""
    from fastcka.core.columns import COLUMNS, REQUIRED

    values: dict[str, Any] = {}
    for column in COLUMNS:
        if column not in REQUIRED and column.attribute != "q_value":
            matrix = getattr(result, column.attribute)
            values[column.name] = None if matrix is None else float(matrix[0, 1])
    inference = result.inference
    values["alternative"] = None if inference is None else inference.alternative
    values["level"] = None if inference is None else inference.level
    return values


def interval_text(answer: dict[str, Any]) -> str:
    """Return the interval over examples; empty where it is undefined or was not computed."""
    if not _known(answer["ci_low"]):
        return ""
    return f" ({answer['level']:.0%} interval {answer['ci_low']:.4f} to {answer['ci_high']:.4f})"


def inferred_lines(answer: dict[str, Any]) -> dict[str, str]:
    """Return the line on the chance level, without what is undefined."""
    lines: dict[str, str] = {}
    if _known(answer["null_mean"]) and _known(answer["null_sd"]):
        text = f"{answer['null_mean']:.4f} +- {answer['null_sd']:.2g} for permuted examples"
        if _known(answer["z"]):
            text += f"; z = {answer['z']:.3g}"
        if _known(answer["p_value"]):
            text += f", {p_text(answer['p_value'])} ({answer['alternative']})"
        elif answer["p_value"] is None:
            text += "; p-value not computed (--p-value)"
        lines["chance level"] = text
    return lines


def p_text(p: float) -> str:
    """Return a p-value as text; one that is 0 in float64 as a bound."""
    return f"p < {_SMALLEST_P:g}" if p < _SMALLEST_P else f"p = {p:.2g}"


def _known(value: float | None) -> bool:
    return value is not None and not math.isnan(value)
