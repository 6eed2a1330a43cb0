"""Steps of a training, as lists and as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcka.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable


def planned_steps(steps: Iterable[object]) -> tuple[int, ...]:
    """The steps, ascending; InputError if one is not a whole number >= 0, or stands there twice."""
    planned: set[int] = set()
    for step in steps:
        if isinstance(step, bool) or not isinstance(step, int) or step < 0:
            raise InputError(f"steps must be integers of at least 0, not {step!r}")
        if step in planned:
            raise InputError(f"steps names the step {step} twice")
        planned.add(step)
    if not planned:
        raise InputError("steps is empty; at least one planned step is needed")
    return tuple(sorted(planned))


def step_of(text: str, training_steps: int) -> int:
    """Read a step: ``100``, a share of the training above 0 and up to 1 (``0.5``), or ``last``.

    Raises
    ------
    InputError
        If the text is none of these, or a step after the training's end.
    """
    if text == "last":
        return training_steps
    try:
        step = int(text) if "." not in text else round(_share(text) * training_steps)
    except ValueError:
        raise InputError(
            f"{text!r} is no step: expected a whole number, a share of the training such as 0.5 "
            "(at most 1.0), or last"
        ) from None
    if not 0 <= step <= training_steps:
        raise InputError(f"step {text} is not one of a training of {training_steps} updates")
    return step


def parse_phases(text: str, training_steps: int) -> dict[str, int]:
    """Read ``early=100,mid=0.5,late=last``: phase -> step; see `step_of`.

    Raises
    ------
    InputError
        If a part is not ``name=step``, or a name stands twice.
    """
    phases: dict[str, int] = {}
    for part in text.split(","):
        name, equals, step = (piece.strip() for piece in part.partition("="))
        if not (name and equals and step):
            raise InputError(f"phases: expected NAME=STEP with commas between, came {part!r}")
        if name in phases:
            raise InputError(f"phases: {name!r} stands twice")
        phases[name] = step_of(step, training_steps)
    return phases


def _share(text: str) -> float:
    share = float(text)
    if not 0 < share <= 1:
        raise ValueError(text)
    return share
