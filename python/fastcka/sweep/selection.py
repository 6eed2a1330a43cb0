"""Which representations of a store take part: `select`, `exclude`, then the policy for steps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fastcka.errors import StoreError, SweepError
from fastcka.sweep.dropped import Dropped, counted_reason
from fastcka.sweep.labels import (
    Labels,
    fits,
    identity_of,
    is_selected,
    key_text,
    required_values,
)
from fastcka.sweep.steps import chosen_steps, furthest_text, shown_steps, steps_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fastcka.store import UnreadableFile
    from fastcka.sweep.config import SweepConfig
    from fastcka.sweep.labels import Allowed
    from fastcka.sweep.sides import Sides
    from fastcka.sweep.steps import StepsByModel, StepsOfModel, StepsPolicy


@dataclass(frozen=True, slots=True)
class Selection:
    """The labels that take part, in the store's order, and why the others do not.

    Attributes
    ----------
    labels, dropped
        What takes part, and what does not.
    steps
        Which steps were taken, in words.
    """

    labels: list[Labels]
    dropped: Dropped
    steps: str


def select_labels(labels: Sequence[Labels], config: SweepConfig) -> Selection:
    """Apply ``select``, ``exclude`` and the steps policy of ``config`` to the labels of a store.

    The steps of a model are those at which the store holds any layer of it (within ``select.step``,
    and but for what ``exclude`` leaves out by its step): a checkpoint that lacks one layer does not
    make an earlier step the last one.

    Raises
    ------
    SweepError
        An unknown field, a value that nothing has, a step that a model lacks, or nothing left.
    """
    if not labels:
        raise SweepError(f"{config.store}: the store holds no representation: nothing to compare")
    allowed = required_values(config.select, ("select",), labels, config)
    excluded = required_values(config.exclude, ("exclude",), labels, config)
    if excluded and not any(fits(own, excluded) for own in labels):
        raise SweepError(
            f"exclude: no representation has such values in {' and '.join(excluded)} together, so "
            "that nothing is excluded; one `exclude` leaves out what fits all of its fields"
        )
    dropped = Dropped()
    kept: list[Labels] = []
    for own in labels:
        reason = _refused_by(own, allowed, excluded)
        if reason is None:
            kept.append(own)
        else:
            dropped.add(reason, key_text(own))
    if not kept:
        raise SweepError(f"select: no representation is left: {reasons_text(dropped)}")

    models = {own["model"] for own in kept}
    stored: dict[str, dict[int, None]] = {}
    for own in labels:
        wanted = "step" not in allowed or is_selected(own["step"], allowed["step"])
        if "step" in excluded and fits(own, excluded):
            wanted = False
        if wanted and own["model"] in models:
            stored.setdefault(own["model"], {})[own["step"]] = None
    policy = config.compare.steps
    own_steps = {model: list(own) for model, own in stored.items()}
    steps = chosen_steps(policy, own_steps)

    taking_part = [own for own in kept if own["step"] in steps[own["model"]]]
    name = "the listed ones" if isinstance(policy, tuple) else steps_text(policy)
    for own in kept:
        if own["step"] not in steps[own["model"]]:
            reason = f"representations at steps that compare.steps ({name}) leaves out"
            dropped.add(reason, key_text(own))
    _add_missing(dropped, kept, taking_part, steps)
    if not taking_part:
        raise SweepError(f"compare.steps: no representation is left: {reasons_text(dropped)}")
    return Selection(
        labels=taking_part,
        dropped=dropped,
        steps=_steps_taken(policy, own_steps, steps),
    )


def _steps_taken(policy: StepsPolicy, stored: StepsByModel, taken: StepsOfModel) -> str:
    text = steps_text(policy)
    if not isinstance(policy, tuple):
        text += f": {shown_steps(set().union(*taken.values()))}"
    return text + furthest_text(policy, stored, taken)


def keep_sides(selection: Selection, sides: Sides) -> Selection:
    """Leave out what stands on neither side of any pair; both sides must hold something."""
    sides.require_both(selection.labels)
    kept = []
    for own in selection.labels:
        if sides.holds(own):
            kept.append(own)
        else:
            selection.dropped.add(
                "representations in neither compare.left nor compare.right", key_text(own)
            )
    return replace(selection, labels=kept)


def _refused_by(own: Labels, allowed: Allowed, excluded: Allowed) -> str | None:
    for field, values in allowed.items():
        if field not in own:
            return f"representations without the field '{field}' of select"
        if not is_selected(own[field], values):
            return f"representations outside select.{field}"
    if excluded and fits(own, excluded):
        return f"representations left out by exclude ({', '.join(excluded)})"
    return None


def _add_missing(
    dropped: Dropped,
    kept: Sequence[Labels],
    taking_part: Sequence[Labels],
    steps: Mapping[str, set[int]],
) -> None:
    """Count the layers that a model has at other steps, but not at one that the policy chose."""
    layers = dict.fromkeys((own["model"], own["layer"]) for own in kept)
    present = {(own["model"], own["layer"], own["step"]) for own in taking_part}
    for model, layer in layers:
        for step in sorted(steps[model]):
            if (model, layer, step) not in present:
                dropped.add(
                    f"missing representations of model '{model}' at step {step} (other layers or "
                    "steps of it are there)",
                    f"layer={layer}",
                )


def require_readable(files: Iterable[UnreadableFile], config: SweepConfig) -> Dropped:
    """Return what ``select`` and ``exclude`` leave out of the unreadable files; refuse the others.

    Raises
    ------
    StoreError
        A file is of a model and step that are selected, or it cannot be known of which it is.
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
            "; of which model it is cannot be known, nor whether `select` or `exclude` leaves it "
            "out"
            if file.model is None and "model" not in (*config.select, *config.exclude)
            else ""
        )
        raise StoreError(
            f"{file.error}{unknown}; `fastcka store verify` lists all damage"
        ) from file.error
    return dropped


def _fits(file: UnreadableFile, field: str, values: Sequence[object]) -> bool | None:
    """Tell whether all of a file has one of the ``values``; None where that cannot be known."""
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
