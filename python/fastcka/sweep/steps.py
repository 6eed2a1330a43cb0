"""Which steps of each model take part in a sweep: one small pure function a policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Literal

from fastcka.errors import SweepError

StepsPolicy = Literal["all", "final_each", "final_common", "all_common"] | tuple[int, ...]

StepsByModel = Mapping[str, Sequence[int]]
"""The steps that are stored of each selected model; never empty for a model."""


def every_step(steps: StepsByModel) -> dict[str, set[int]]:
    """Return every stored step of each model."""
    return {model: set(own) for model, own in steps.items()}


def final_of_each(steps: StepsByModel) -> dict[str, set[int]]:
    """Return each model's own last step, which may differ from model to model."""
    return {model: {max(own)} for model, own in steps.items()}


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
    for model, own in steps.items():
        missing = [step for step in listed if step not in own]
        if missing:
            near = min(own, key=lambda step: (abs(step - missing[0]), step))
            raise SweepError(
                f"compare.steps: model '{model}' has no step {missing[0]}; its nearest is {near}, "
                f"its last {max(own)} (exclude the model by `select`, or choose a policy such as "
                "final_each)"
            )
    return {model: set(listed) for model in steps}


POLICIES: Mapping[str, Callable[[StepsByModel], dict[str, set[int]]]] = {
    "all": every_step,
    "final_each": final_of_each,
    "final_common": final_in_common,
    "all_common": all_in_common,
}


def chosen_steps(policy: StepsPolicy, steps: StepsByModel) -> dict[str, set[int]]:
    """Return the steps of each model that ``policy`` keeps, of those in ``steps``."""
    if isinstance(policy, str):
        return POLICIES[policy](steps)
    return listed_steps(steps, policy)


def _common(steps: StepsByModel) -> Set[int]:
    common = set.intersection(*(set(own) for own in steps.values()))
    if not common:
        lasts = sorted({max(own) for own in steps.values()})
        raise SweepError(
            f"compare.steps: the {len(steps)} selected models have no step in common (their last "
            f"steps: {', '.join(map(str, lasts[:8]))}); use final_each to take each one's own last"
        )
    return common
