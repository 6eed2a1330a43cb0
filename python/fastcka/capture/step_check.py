"""Checking that the step in a checkpoint equals the step in its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastcka.errors import WrongStepError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

#: Fields in which training programs note the number of updates.
STEP_FIELDS: Final = ("step", "global_step", "iteration", "iter_num", "num_updates")
#: The fields to compare with a user's pattern, whose number may be an epoch.
COUNT_FIELDS: Final = (*STEP_FIELDS, "epoch")


def noted_steps(fields: Mapping[str, Any], names: Iterable[str] = STEP_FIELDS) -> dict[str, int]:
    """Return the fields of a checkpoint that contain a step, as integers."""
    steps = {name: _whole(fields[name]) for name in names if name in fields}
    return {name: step for name, step in steps.items() if step is not None}


def check_step(
    path: Path,
    fields: Mapping[str, Any],
    named: int,
    names: Iterable[str] = STEP_FIELDS,
    origin: str = "its name",
) -> None:
    """Check that the fields of a checkpoint do not contradict its name.

    A file without a step is assumed to have the step in its name. Of several numbers in the file,
    one equal number is enough: some programs count micro-batches in addition to updates.

    Parameters
    ----------
    path, fields
        The checkpoint.
    named
        The expected step.
    names
        The fields that may contain the step.
    origin
        The origin of the expected step, for the message.

    Raises
    ------
    WrongStepError
        If the fields contain other steps only.
    """
    noted = noted_steps(fields, names)
    if noted and named not in noted.values():
        inside = ", ".join(f"{name} {step}" for name, step in noted.items())
        raise WrongStepError(
            f"{path}: expected step {named} by {origin}, got {inside}; rename or replace the file, "
            f"or write check_step: false if {named} is right",
            next(iter(noted.values())),
        )


def _whole(value: Any) -> int | None:
    """Return a whole number from Python, NumPy, a tensor or digits; None for any other value."""
    if isinstance(value, bool):
        return None
    if getattr(value, "ndim", 1) == 0 and callable(getattr(value, "item", None)):
        value = value.item()  # a tensor or a NumPy number
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
