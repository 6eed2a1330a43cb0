"""Whether a checkpoint contains the step that its name says; the same check for every reader."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastcka.errors import WrongStepError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

#: Fields in which training programs note the number of updates.
STEP_FIELDS: Final = ("step", "global_step", "iteration", "iter_num", "num_updates")
#: Where a pattern of the user reads the name, its number may be that of an epoch as well.
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
    said: str = "its name says",
) -> None:
    """Make sure that the fields of a checkpoint do not contradict its name.

    A file that notes no step is believed to be of the step that its name says. Of several noted
    numbers, one that agrees is enough: programs count micro-batches beside updates.

    Parameters
    ----------
    path, fields
        The checkpoint.
    named
        The step of its name.
    names
        The fields that may contain it.
    said
        Where it is from, for the message.

    Raises
    ------
    WrongStepError
        They do.
    """
    noted = noted_steps(fields, names)
    if noted and named not in noted.values():
        inside = ", ".join(f"{name} {step}" for name, step in noted.items())
        raise WrongStepError(
            f"{path}: contains {inside}, but {said} {named}; rename or replace the file, "
            f"or write check_step: false if {named} is right",
            next(iter(noted.values())),
        )


def _whole(value: Any) -> int | None:
    """Return a whole number of Python, NumPy or a tensor, or in digits; None for others."""
    if isinstance(value, bool):
        return None
    if getattr(value, "ndim", 1) == 0 and callable(getattr(value, "item", None)):
        value = value.item()  # of a tensor or a NumPy number
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
