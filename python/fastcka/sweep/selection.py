"""Which representations of a store take part: `select`, then the policy for steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastcka.errors import StoreError, SweepError
from fastcka.sweep.dropped import Dropped, counted_reason
from fastcka.sweep.labels import (
    KEY_FIELDS,
    Labels,
    identity_of,
    is_selected,
    key_text,
    require_fields,
    require_selectable,
)
from fastcka.sweep.steps import chosen_steps

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fastcka.store import UnreadableFile
    from fastcka.sweep.config import SweepConfig


@dataclass(frozen=True, slots=True)
class Selection:
    """The labels that take part, in the store's order, and why the others do not."""

    labels: list[Labels]
    dropped: Dropped


def known_fields(labels: Iterable[Labels]) -> list[str]:
    """Return every field that some representation has: model, step, layer, then the factors."""
    return list(dict.fromkeys(field for own in labels for field in own))


def select_labels(labels: Sequence[Labels], config: SweepConfig) -> Selection:
    """Apply ``select`` and the steps policy of ``config`` to the labels of a store.

    The steps of a model are those at which the store holds any layer of it (within
    ``select.step``): a checkpoint that lacks one layer does not make an earlier step the last one.

    Raises
    ------
    SweepError
        An unknown field, a value that nothing has, a step that a model lacks, or nothing left.
    """
    if not labels:
        raise SweepError(f"{config.store}: the store holds no representation: nothing to compare")
    require_fields(list(config.select), known_fields(labels), "select")
    allowed = {field: require_selectable(config, field, labels) for field in config.select}

    dropped = Dropped()
    kept: list[Labels] = []
    for own in labels:
        reason = _refused_by(own, allowed)
        if reason is None:
            kept.append(own)
        else:
            dropped.add(reason, key_text(own))
    if not kept:
        raise SweepError(f"select: no representation is left: {reasons_text(dropped)}")

    models = {own["model"] for own in kept}
    stored: dict[str, dict[int, None]] = {}
    for own in labels:
        if own["model"] in models and (
            "step" not in allowed or is_selected(own["step"], allowed["step"])
        ):
            stored.setdefault(own["model"], {})[own["step"]] = None
    policy = config.compare.steps
    steps = chosen_steps(policy, {model: list(own) for model, own in stored.items()})

    taking_part = [own for own in kept if own["step"] in steps[own["model"]]]
    name = policy if isinstance(policy, str) else "the listed ones"
    for own in kept:
        if own["step"] not in steps[own["model"]]:
            reason = f"representations at steps that compare.steps ({name}) leaves out"
            dropped.add(reason, key_text(own))
    _add_missing(dropped, kept, taking_part, steps)
    if not taking_part:
        raise SweepError(f"compare.steps: no representation is left: {reasons_text(dropped)}")
    return Selection(labels=taking_part, dropped=dropped)


def _refused_by(own: Labels, allowed: Mapping[str, frozenset[object]]) -> str | None:
    for field, values in allowed.items():
        if field not in own:
            return f"representations without the field '{field}' of select"
        if not is_selected(own[field], values):
            return f"representations outside select.{field}"
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
    """Return what ``select`` leaves out of the files that cannot be read; refuse the others.

    Raises
    ------
    StoreError
        A file is of a model and step that are selected, or it cannot be known of which it is.
    """
    dropped = Dropped()
    for file in files:
        if _leaves_out(config.select, file):
            dropped.add("unreadable files outside select", str(file.path))
            continue
        unknown = (
            "; of which model it is cannot be known, nor whether `select` leaves it out"
            if file.model is None and "model" not in config.select
            else ""
        )
        raise StoreError(
            f"{file.error}{unknown}; `fastcka store verify` lists all damage"
        ) from file.error
    return dropped


def _leaves_out(select: Mapping[str, Sequence[object]], file: UnreadableFile) -> bool:
    if "model" in select and not any(file.is_of(str(model)) for model in select["model"]):
        return True
    known = {"step": file.step} if file.factors is None else {**file.factors, "step": file.step}
    for field, values in select.items():
        if field == "step" or (field not in KEY_FIELDS and file.factors is not None):
            allowed = {identity_of(value) for value in values}
            if field not in known or not is_selected(known[field], allowed):
                return True
    return False


def reasons_text(dropped: Dropped) -> str:
    """Return the reasons with their counts in one line."""
    reasons = (counted_reason(count, reason) for reason, count in dropped.counts.items())
    return "; ".join(reasons) or "nothing dropped"
