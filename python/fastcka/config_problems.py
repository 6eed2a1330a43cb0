"""Problems of a configuration file as text, the same for every kind of file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from fastcka.near_misses import near_misses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic_core import ErrorDetails


def path_value(value: object) -> object:
    """Return a path for a field of pydantic; anything else is an error."""
    if isinstance(value, str | os.PathLike) and str(value).strip() and "\0" not in str(value):
        if str(value) == "~" or str(value).startswith("~/"):
            raise ValueError("expected a path without ~, which is not expanded")
        return Path(value)
    raise ValueError("expected a path")


def problems_text(file: str | os.PathLike[str], problems: Sequence[str]) -> str:
    """Return the problems of a file, which is named once: one on its line, several below it."""
    if len(problems) == 1:
        return f"{os.fspath(file)}: {problems[0]}"
    lines = (f"  {problem}" for problem in problems)
    return "\n".join([f"{os.fspath(file)}: {len(problems)} problems:", *lines])


def problem_text(
    detail: ErrorDetails,
    where: str,
    given: str,
    *,
    known: Sequence[str],
    noun: str = "key",
    missing: str = "it is required",
    mapping: str = "a mapping",
) -> str:
    """Return a problem that pydantic found, with the place and the given value.

    Parameters
    ----------
    detail
        One of the errors of a ``ValidationError``.
    where, given
        The place in the file, and a description of its value.
    known
        The names that are allowed where an unknown one is.
    noun
        What a name is called: "key" or "field".
    missing, mapping
        What is expected where a value is missing, or where it is not a mapping.
    """
    match detail["type"]:
        case "extra_forbidden":
            return f"{where}: unknown {noun}{near_misses(str(detail['loc'][-1]), known)}"
        case "missing":
            return f"{where}: missing; {missing}"
        case "literal_error":
            return f"{where}: expected {detail['ctx']['expected']}; got {given}"
        case "value_error":
            reason = str(detail["ctx"]["error"])
            complete = isinstance(detail["input"], dict) or "got " in reason
            return f"{where}: {reason}" if complete else f"{where}: {reason}; got {given}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"{where}: expected {mapping}; got {given}"
        case _:
            return f"{where}: {detail['msg']}; got {given}"
