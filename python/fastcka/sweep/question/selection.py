"""Which representations of a store take part: `select`, `exclude`, `compare.steps`, the sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastcka.errors import StoreError, SweepError
from fastcka.sweep.question.dropped import Dropped, counted_reason
from fastcka.sweep.question.labels import (
    Labels,
    identity_of,
    key_text,
)
from fastcka.sweep.question.steps import (
    NearestStep,
    RunFraction,
    chosen_steps,
    shown_steps,
    steps_text,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from fastcka.store import UnreadableFile
    from fastcka.sweep.question.config import SweepConfig
    from fastcka.sweep.question.labels import Allowed
    from fastcka.sweep.question.question import Question


def is_selected(value: object, allowed: Iterable[Hashable]) -> bool:
    """Return whether ``value``, or a member of a list ``value``, is in ``allowed``."""
    members = value if isinstance(value, list | tuple) else [value]
    return any(identity_of(member) in allowed for member in members)


def allowed_values(wanted: Mapping[str, Sequence[object]]) -> Allowed:
    """Return the values that a mapping such as ``select`` allows."""
    return {
        field: frozenset(identity_of(value) for value in values) for field, values in wanted.items()
    }


def fits(representation: Labels, allowed: Allowed) -> bool:
    """Return whether a representation has an allowed value of every field in ``allowed``."""
    return all(
        field in representation and is_selected(representation[field], values)
        for field, values in allowed.items()
    )


@dataclass(frozen=True, slots=True)
class Sides:
    """The representations that each side of a pair allows.

    The sides may overlap. Pairs are unordered, so a pair that fits both ways is one pair. In the
    results, ``a`` is the representation that comes first in the store, on whichever side.
    """

    left: Allowed
    right: Allowed

    def allow(self, representation: Labels) -> bool:
        """Return whether a representation fits at least one side."""
        return fits(representation, self.left) or fits(representation, self.right)

    def require_both(self, labels: Sequence[Labels]) -> None:
        """Refuse a side that none of ``labels`` fits."""
        for name, allowed in (("left", self.left), ("right", self.right)):
            if not any(fits(representation, allowed) for representation in labels):
                raise SweepError(
                    f"compare.{name}: no selected representation has these values (they occur in "
                    "the store, but select, exclude or compare.steps leave them out, or no "
                    "representation has them together)"
                )

    def across(self, members: Sequence[Labels], pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return for each pair of positions whether one fits `left` and the other `right`."""
        on_left = np.array([fits(representation, self.left) for representation in members])
        on_right = np.array([fits(representation, self.right) for representation in members])
        a, b = pairs[:, 0], pairs[:, 1]
        return np.asarray((on_left[a] & on_right[b]) | (on_right[a] & on_left[b]))


@dataclass(frozen=True, slots=True)
class Selection:
    """The labels that take part, in the store's order, and why the others do not.

    Attributes
    ----------
    labels, dropped
        The representations that take part, and counts of those that do not.
    steps
        The chosen steps, as text.
    hint
        A reason why `compare.within` may keep representations apart; empty if there is none.
    """

    labels: list[Labels]
    dropped: Dropped
    steps: str
    hint: str


def select_labels(labels: Sequence[Labels], question: Question) -> Selection:
    """Apply ``select``, ``exclude``, the policy for steps and the sides to the labels of a store.

    A step counts for a model if the store contains at least one layer of the model at that step,
    and ``select`` and ``exclude`` allow the step. So a checkpoint that lacks one layer still counts
    as the last step.

    Raises
    ------
    SweepError
        A model lacks a listed step, a side fits no representation, or no representation is left.
    """
    allowed, excluded = question.select, question.exclude
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
    policy = question.steps
    stored_steps = {model: list(steps) for model, steps in stored.items()}
    steps, text = chosen_steps(policy, stored_steps)

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
    if question.sides is not None:
        taking_part = _fitting_sides(taking_part, question.sides, dropped)
    return Selection(taking_part, dropped, text, _hint(question, taking_part))


def _hint(question: Question, labels: Sequence[Labels]) -> str:
    steps = sorted({representation["step"] for representation in labels})
    if "step" not in question.within or len(steps) < 2:
        return ""
    match question.steps:
        case "final_each" | NearestStep() | RunFraction():
            return (
                f"steps: {steps_text(question.steps)} takes different steps of different models "
                f"({shown_steps(steps)}); `step` in compare.within keeps them apart, so that they "
                "are not compared: remove it from within, or use final_common"
            )
        case _:
            return ""


def _fitting_sides(labels: Sequence[Labels], sides: Sides, dropped: Dropped) -> list[Labels]:
    """Return the representations that fit at least one side; each side must fit one."""
    sides.require_both(labels)
    kept = []
    for representation in labels:
        if sides.allow(representation):
            kept.append(representation)
        else:
            reason = "representations in neither compare.left nor compare.right"
            dropped.add(reason, key_text(representation))
    return kept


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
