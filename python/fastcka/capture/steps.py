"""Reading the steps of a training run from lists and text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcka.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable


def planned_steps(steps: Iterable[object]) -> tuple[int, ...]:
    """Return the steps in ascending order.

    Raises
    ------
    InputError
        If there are none, a step is not a whole number of at least 0, or a step appears twice.
    """
    planned: set[int] = set()
    for step in steps:
        if isinstance(step, bool) or not isinstance(step, int) or step < 0:
            raise InputError(f"steps: expected integers of at least 0, got {step!r}")
        if step in planned:
            raise InputError(f"steps: expected distinct steps, got {step} twice")
        planned.add(step)
    if not planned:
        raise InputError("steps: expected at least one step, got none")
    return tuple(sorted(planned))


def step_of(text: str, training_steps: int) -> int:
    """Read a step: ``100``, ``last``, or a fraction of the training (``0.5``; at most 1).

    Raises
    ------
    InputError
        If the text is none of these, or the step is after the end of the training.
    """
    if text == "last":
        return training_steps
    try:
        step = int(text) if "." not in text else round(_fraction(text) * training_steps)
    except ValueError:
        raise InputError(
            f"step: expected a whole number, a fraction of the training such as 0.5 (at most 1.0), "
            f"or last, got {text!r}"
        ) from None
    if not 0 <= step <= training_steps:
        raise InputError(
            f"step: expected 0 to {training_steps}, the length of the training, got {text}"
        )
    return step


def parse_phases(text: str, training_steps: int) -> dict[str, int]:
    """Read ``early=100,mid=0.5,late=last`` as phase -> step; see `step_of`.

    Raises
    ------
    InputError
        If a part is not ``name=step``, or a name appears twice.
    """
    phases: dict[str, int] = {}
    for part in text.split(","):
        name, equals, step = (piece.strip() for piece in part.partition("="))
        if not (name and equals and step):
            raise InputError(f"phases: expected NAME=STEP separated by commas, got {part!r}")
        if name in phases:
            raise InputError(f"phases: expected distinct names, got {name!r} twice")
        phases[name] = step_of(step, training_steps)
    return phases


def _fraction(text: str) -> float:
    fraction = float(text)
    if not 0 < fraction <= 1:
        raise ValueError(text)
    return fraction
