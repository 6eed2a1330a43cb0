"""Which representations of a store take part: `select`, `exclude`, then `compare.steps`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fastcka.errors import StoreError, SweepError
from fastcka.sweep.question.dropped import Dropped, counted_reason
from fastcka.sweep.question.labels import (
    Labels,
    fits,
    identity_of,
    is_selected,
    key_text,
    required_values,
)
from fastcka.sweep.question.steps import chosen_steps, furthest_text, shown_steps, steps_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fastcka.store import UnreadableFile
    from fastcka.sweep.question.config import SweepConfig
    from fastcka.sweep.question.labels import Allowed
    from fastcka.sweep.question.sides import Sides
    from fastcka.sweep.question.steps import StepsByModel, StepsOfModel, StepsPolicy


@dataclass(frozen=True, slots=True)
class Selection:
    """The labels that take part, in the store's order, and why the others do not.

    Attributes
    ----------
    labels, dropped
        The representations that take part, and counts of those that do not.
    steps
        The chosen steps, as text.
    """

    labels: list[Labels]
    dropped: Dropped
    steps: str


def select_labels(labels: Sequence[Labels], config: SweepConfig) -> Selection:
    """Apply ``select``, ``exclude`` and the steps policy of ``config`` to the labels of a store.

    A step counts for a model if the store contains at least one layer of the model at that step,
    and ``select`` and ``exclude`` allow the step. So a checkpoint that lacks one layer still counts
    as the last step.

    Raises
    ------
    SweepError
        A field is unknown, no representation has a listed value, a model lacks a listed step, or
        no representation is left.
    """
    if not labels:
        raise SweepError(f"{config.store}: the store contains no representations")
    allowed = required_values(config.select, ("select",), labels, config)
    excluded = required_values(config.exclude, ("exclude",), labels, config)
    if excluded and not any(fits(representation, excluded) for representation in labels):
        raise SweepError(
            f"exclude: no representation has these values of {' and '.join(excluded)} together, so "
            "nothing would be excluded; `exclude` leaves out only what fits all of its fields"
        )
    dropped = Dropped()
    kept: list[Labels] = []
    for representation in labels:
        reason = _refused_by(representation, allowed, excluded)
        if reason is None:
            kept.append(representation)
        else:
            dropped.add(reason, key_text(representation))
    if not kept:
        raise SweepError(f"select: no representation is left: {reasons_text(dropped)}")

    models = {representation["model"] for representation in kept}
    stored: dict[str, dict[int, None]] = {}
    for representation in labels:
        wanted = "step" not in allowed or is_selected(representation["step"], allowed["step"])
        if "step" in excluded and fits(representation, excluded):
            wanted = False
        if wanted and representation["model"] in models:
            stored.setdefault(representation["model"], {})[representation["step"]] = None
    policy = config.compare.steps
    stored_steps = {model: list(representation) for model, representation in stored.items()}
    steps = chosen_steps(policy, stored_steps)

    taking_part = [
        representation
        for representation in kept
        if representation["step"] in steps[representation["model"]]
    ]
    name = "the list" if isinstance(policy, tuple) else steps_text(policy)
    for representation in kept:
        if representation["step"] not in steps[representation["model"]]:
            reason = f"representations at steps that compare.steps ({name}) leaves out"
            dropped.add(reason, key_text(representation))
    _add_missing(dropped, kept, taking_part, steps)
    if not taking_part:
        raise SweepError(f"compare.steps: no representation is left: {reasons_text(dropped)}")
    return Selection(
        labels=taking_part,
        dropped=dropped,
        steps=_steps_taken(policy, stored_steps, steps),
    )


def _steps_taken(policy: StepsPolicy, stored: StepsByModel, taken: StepsOfModel) -> str:
    text = steps_text(policy)
    if not isinstance(policy, tuple):
        text += f": {shown_steps(set().union(*taken.values()))}"
    return text + furthest_text(policy, stored, taken)


def keep_sides(selection: Selection, sides: Sides) -> Selection:
    """Leave out representations that fit neither side; each side must fit at least one."""
    sides.require_both(selection.labels)
    kept = []
    for representation in selection.labels:
        if sides.allow(representation):
            kept.append(representation)
        else:
            selection.dropped.add(
                "representations in neither compare.left nor compare.right",
                key_text(representation),
            )
    return replace(selection, labels=kept)


def _refused_by(representation: Labels, allowed: Allowed, excluded: Allowed) -> str | None:
    for field, values in allowed.items():
        if field not in representation:
            return f"representations without the field '{field}' of select"
        if not is_selected(representation[field], values):
            return f"representations outside select.{field}"
    if excluded and fits(representation, excluded):
        return f"representations left out by exclude ({', '.join(excluded)})"
    return None


def _add_missing(
    dropped: Dropped,
    kept: Sequence[Labels],
    taking_part: Sequence[Labels],
    steps: Mapping[str, set[int]],
) -> None:
    """Count the layers that a model has at some steps, but not at a chosen step."""
    layers = dict.fromkeys(
        (representation["model"], representation["layer"]) for representation in kept
    )
    present = {
        (representation["model"], representation["layer"], representation["step"])
        for representation in taking_part
    }
    for model, layer in layers:
        for step in sorted(steps[model]):
            if (model, layer, step) not in present:
                dropped.add(
                    f"missing representations of model '{model}' at step {step} (the store has "
                    "other layers or steps of this model)",
                    f"layer={layer}",
                )


def require_readable(files: Iterable[UnreadableFile], config: SweepConfig) -> Dropped:
    """Return the unreadable files that ``select`` and ``exclude`` leave out; refuse all others.

    Raises
    ------
    StoreError
        An unreadable file belongs to a selected model and step, or its model cannot be read.
    """
    dropped = Dropped()
    for file in files:
        selected = [_fits(file, field, values) for field, values in config.select.items()]
        excluded = [_fits(file, field, values) for field, values in config.exclude.items()]
        if False in selected:
            dropped.add("unreadable files outside select", str(file.path))
            continue
        if excluded and all(excluded):
            dropped.add("unreadable files left out by exclude", str(file.path))
            continue
        unknown = (
            "; the model of this file cannot be read, so fastcka cannot tell whether `select` or "
            "`exclude` leaves it out"
            if file.model is None and "model" not in (*config.select, *config.exclude)
            else ""
        )
        raise StoreError(
            f"{file.error}{unknown}; `fastcka store verify` lists all damage"
        ) from file.error
    return dropped


def _fits(file: UnreadableFile, field: str, values: Sequence[object]) -> bool | None:
    """Return whether every representation of a file has one of ``values``; None if unknown."""
    if field == "model":
        return any(file.is_of(str(model)) for model in values)
    if field == "layer" or (field != "step" and file.factors is None):
        return None
    known = {**(file.factors or {}), "step": file.step}
    return field in known and is_selected(known[field], {identity_of(value) for value in values})


def reasons_text(dropped: Dropped) -> str:
    """Return the reasons with their counts in one line."""
    reasons = (counted_reason(count, reason) for reason, count in dropped.counts.items())
    return "; ".join(reasons) or "nothing dropped"
