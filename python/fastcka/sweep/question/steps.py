"""Which steps of each model take part in a sweep: one function for each policy."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence, Set
from fractions import Fraction
from typing import Literal

from pydantic import BaseModel, ConfigDict

from fastcka.errors import SweepError

MOST_SHOWN = 6


class Near(BaseModel):
    """A step, and the largest allowed distance of a stored step from it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    step: int
    tolerance: int


class NearestStep(BaseModel):
    """The policy ``{nearest: {step: S, tolerance: T}}``: each model's stored step nearest to S."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    nearest: Near

    def __str__(self) -> str:
        return f"nearest to {self.nearest.step}, within {self.nearest.tolerance}"


class RunFraction(BaseModel):
    """The policy ``{fraction: F}``: each model's stored step nearest to F times its last one."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    fraction: tuple[float, ...]

    def __str__(self) -> str:
        return f"nearest to {', '.join(map(repr, self.fraction))} of each model's last step"


StepsPolicy = (
    Literal["all", "final_each", "final_common", "all_common"]
    | NearestStep
    | RunFraction
    | tuple[int, ...]
)

StepsByModel = Mapping[str, Sequence[int]]
"""The stored steps of each selected model; no list is empty."""

StepsOfModel = Mapping[str, Set[int]]


def every_step(steps: StepsByModel) -> dict[str, set[int]]:
    """Return every stored step of each model."""
    return {model: set(stored) for model, stored in steps.items()}


def final_of_each(steps: StepsByModel) -> dict[str, set[int]]:
    """Return the last step of each model; these may differ."""
    return {model: {max(stored)} for model, stored in steps.items()}


def final_in_common(steps: StepsByModel) -> dict[str, set[int]]:
    """Return the largest step that all models have."""
    last = max(_common(steps))
    return {model: {last} for model in steps}


def all_in_common(steps: StepsByModel) -> dict[str, set[int]]:
    """Return the steps that all models have."""
    common = _common(steps)
    return {model: set(common) for model in steps}


def listed_steps(steps: StepsByModel, listed: Sequence[int]) -> dict[str, set[int]]:
    """Return ``listed`` for each model; a step that a model lacks is an error."""
    for model, stored in steps.items():
        missing = [step for step in listed if step not in stored]
        if missing:
            near = min(stored, key=lambda step: (abs(step - missing[0]), step))
            raise SweepError(
                f"compare.steps: model '{model}' has no step {missing[0]}; the nearest is {near}, "
                f"the last {max(stored)} (leave the model out by `exclude`, or choose a policy "
                "such as final_each)"
            )
    return {model: set(listed) for model in steps}


def nearest_step(steps: StepsByModel, near: Near) -> dict[str, set[int]]:
    """Return the step of each model nearest to ``near``; beyond its tolerance is an error."""
    chosen = {}
    for model, stored in steps.items():
        least, closest = min((abs(step - near.step), step) for step in stored)
        if least > near.tolerance:
            raise SweepError(
                f"compare.steps.nearest: model '{model}' has no step within {near.tolerance} of "
                f"{near.step}; its nearest is {closest}, {least} away (raise the tolerance, or "
                "leave the model out by `exclude`)"
            )
        target = Fraction(near.step)
        chosen[model] = {_nearest(stored, target, f"model '{model}'", "compare.steps.nearest")}
    return chosen


def fractions_of_the_run(steps: StepsByModel, fractions: Sequence[float]) -> dict[str, set[int]]:
    """Return the steps of each model nearest to the given fractions of its last step."""
    chosen: dict[str, set[int]] = {}
    for model, stored in steps.items():
        taken: dict[int, float] = {}
        for part in fractions:
            # Exact decimal arithmetic: in floating point, 0.07 * 50 is more than 3.5.
            target = Fraction(repr(part)) * max(stored)
            what = f"model '{model}' at {part} of its last step {max(stored)}"
            step = _nearest(stored, target, what, "compare.steps.fraction")
            if step in taken:
                raise SweepError(
                    f"compare.steps.fraction: {taken[step]} and {part} of the run are the same "
                    f"stored step {step} of model '{model}' (steps: {shown_steps(stored)}); leave "
                    "one out, or leave the model out by `exclude`"
                )
            taken[step] = part
        chosen[model] = set(taken)
    return chosen


def _distance_text(policy: StepsPolicy, steps: StepsByModel, chosen: StepsOfModel) -> str:
    """Return the largest distance of a chosen step from the requested one, as text."""
    match policy:
        case NearestStep(nearest=near):
            targets = {model: [Fraction(near.step)] for model in steps}
        case RunFraction(fraction=fractions):
            targets = {
                model: [Fraction(repr(part)) * max(stored) for part in fractions]
                for model, stored in steps.items()
            }
        case _:
            return ""
    far, model, step = max(
        min((abs(step - target), model, step) for step in chosen[model])
        for model, stored in targets.items()
        for target in stored
    )
    where = f"model '{model}' at step {step}, {float(far):g} away"
    return f" (largest distance: {where})" if far else " (all exact)"


def _nearest(stored: Sequence[int], target: Fraction, what: str, where: str) -> int:
    least = min(abs(step - target) for step in stored)
    nearest = sorted(step for step in stored if abs(step - target) == least)
    if len(nearest) > 1:
        raise SweepError(
            f"{where}: {what}: the stored steps {nearest[0]} and {nearest[1]} are equally near "
            f"({float(least):g} away); ask for a slightly smaller or larger one to choose"
        )
    return nearest[0]


def shown_steps(steps: Collection[int]) -> str:
    """Return the first few steps, and the number of steps if there are more."""
    ordered = sorted(steps)
    more = f", ... ({len(ordered)} steps)" if len(ordered) > MOST_SHOWN else ""
    return ", ".join(map(str, ordered[:MOST_SHOWN])) + more


POLICIES: Mapping[str, Callable[[StepsByModel], dict[str, set[int]]]] = {
    "all": every_step,
    "final_each": final_of_each,
    "final_common": final_in_common,
    "all_common": all_in_common,
}


def parse_steps(value: object) -> object:
    """Return the policy for a value of ``compare.steps``."""
    match value:
        case NearestStep() | RunFraction():
            return value
        case str() if value in POLICIES:
            return value
        case int() if _are_steps([value]):
            return (value,)
        case list() | tuple() if _are_steps(value):
            return tuple(value)
        case {"nearest": {"step": step, "tolerance": tolerance, **rest}, **others} if not (
            rest or others
        ):
            if _are_steps([step]) and _are_steps([tolerance]):
                return NearestStep(nearest=Near(step=step, tolerance=tolerance))
        case {"fraction": fraction, **others} if not others:
            parts = list(fraction) if isinstance(fraction, list | tuple) else [fraction]
            if _are_fractions(parts):
                return RunFraction(fraction=tuple(map(float, parts)))
    names = ", ".join(repr(name) for name in POLICIES)
    raise ValueError(
        f"expected {names}, a list of distinct whole numbers >= 0, {{nearest: {{step: S, "
        "tolerance: T}} with whole numbers >= 0, or {fraction: F} with F from 0 to 1, or a list of "
        "fractions"
    )


def _are_steps(values: Sequence[object]) -> bool:
    whole = [step for step in values if isinstance(step, int) and not isinstance(step, bool)]
    return len(whole) == len(values) == len(set(whole)) > 0 and min(whole) >= 0


def _are_fractions(values: Sequence[object]) -> bool:
    numbers = [
        part for part in values if isinstance(part, int | float) and not isinstance(part, bool)
    ]
    return len(numbers) == len(values) == len(set(numbers)) > 0 and all(
        0 <= part <= 1 for part in numbers
    )


def chosen_steps(policy: StepsPolicy, steps: StepsByModel) -> tuple[dict[str, set[int]], str]:
    """Return the steps in ``steps`` that ``policy`` keeps, by model, and a text about them."""
    match policy:
        case str():
            chosen = POLICIES[policy](steps)
        case NearestStep(nearest=near):
            chosen = nearest_step(steps, near)
        case RunFraction(fraction=fractions):
            chosen = fractions_of_the_run(steps, fractions)
        case _:
            return listed_steps(steps, policy), steps_text(policy)
    shown = shown_steps(set().union(*chosen.values()))
    return chosen, f"{steps_text(policy)}: {shown}{_distance_text(policy, steps, chosen)}"


def steps_text(policy: StepsPolicy) -> str:
    """Return a policy as text."""
    return ", ".join(map(str, policy)) if isinstance(policy, tuple) else str(policy)


def _common(steps: StepsByModel) -> Set[int]:
    common = set.intersection(*(set(stored) for stored in steps.values()))
    if not common:
        lasts = shown_steps({max(stored) for stored in steps.values()})
        raise SweepError(
            f"compare.steps: the {len(steps)} selected models have no step in common (their last "
            f"steps: {lasts}); use final_each for the last step of each model"
        )
    return common
