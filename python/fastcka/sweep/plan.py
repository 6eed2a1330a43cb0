"""The plan of a sweep: what is read, compared and left out, before anything runs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fastcka.core import plan_pass
from fastcka.core.estimators import MIN_EXAMPLES
from fastcka.errors import SweepError
from fastcka.store import Key, Store, open_store
from fastcka.sweep.dropped import left_out_text
from fastcka.sweep.examples import require_same_examples
from fastcka.sweep.folder import require_usable
from fastcka.sweep.group import GroupPlan, Representation
from fastcka.sweep.labels import (
    KEY_FIELDS,
    Labels,
    group_name,
    labels_of,
    require_fields,
    require_visible_keys,
)
from fastcka.sweep.pairs import LabelGroup, form_groups
from fastcka.sweep.selection import known_fields, require_readable, select_labels
from fastcka.sweep.table import header

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastcka.sweep.config import SweepConfig

GROUPS_IN_MEMORY = 2
"""One in the pass, one read ahead."""


@dataclass(frozen=True, eq=False)
class SweepPlan:
    """What a sweep will do.

    Attributes
    ----------
    config
        The sweep that was asked for.
    groups
        In the order in which they are computed.
    dropped
        Reason -> count of what the store holds and the sweep leaves out (representations, groups
        and pairs; each reason says which).
    dropped_examples
        Reason -> up to three of them by name.
    stored
        Number of representations in the store.
    hint
        What the person who wrote the sweep may have meant otherwise; empty for nothing.
    """

    config: SweepConfig
    groups: tuple[GroupPlan, ...]
    dropped: dict[str, int]
    dropped_examples: dict[str, list[str]]
    stored: int
    hint: str

    @cached_property
    def representations(self) -> tuple[Representation, ...]:
        """Every representation that is read, each once: groups do not overlap."""
        return tuple(r for group in self.groups for r in group.representations)

    @property
    def comparisons(self) -> int:
        """Number of comparisons: unordered pairs of different representations."""
        return sum(len(group.pairs) for group in self.groups)

    @cached_property
    def factors(self) -> list[str]:
        """Every factor of the representations, sorted."""
        fields = {field for r in self.representations for field in r.labels}
        return sorted(fields.difference(KEY_FIELDS))

    @property
    def bytes_to_read(self) -> int:
        """Bytes of data that are read from the store."""
        return sum(group.bytes_to_read for group in self.groups)

    @property
    def bytes_memory(self) -> int:
        """Predicted peak: neighbouring groups (read-ahead) and the larger need of a pass."""
        loaded = [group.bytes_loaded for group in self.groups]
        windows = [
            sum(loaded[start : start + GROUPS_IN_MEMORY]) + self.groups[start].bytes_of_pass
            for start in range(len(loaded))
        ]
        return max(windows)

    def pairs(self) -> Iterator[tuple[Key, Key]]:
        """Yield the keys of every comparison, in the order of the results."""
        for group in self.groups:
            for a, b in group.pairs:
                yield group.representations[a].key, group.representations[b].key

    def to_dict(self) -> dict[str, Any]:
        """Return the plan for JSON: counts, reasons, and a summary of each group."""
        return {
            "store": str(self.config.store),
            "output": str(self.config.output),
            "estimator": self.config.estimator,
            "precision": self.config.precision,
            "representations_stored": self.stored,
            "representations": len(self.representations),
            "groups": len(self.groups),
            "comparisons": self.comparisons,
            "dropped": dict(self.dropped),
            "dropped_examples": dict(self.dropped_examples),
            "hint": self.hint,
            "bytes_to_read": self.bytes_to_read,
            "bytes_memory": self.bytes_memory,
            "group_plans": [group.to_dict() for group in self.groups],
        }

    def explain(self) -> str:
        """Return the plan in words: what is compared, what is left out and why, what it costs."""
        first = self.groups[0]
        lines = [f"{name}: {text}" for name, text in self.facts().items()]
        return "\n".join([*lines, f"first group: {first.name}", first.pass_plan.explain()])

    def facts(self) -> dict[str, str]:
        """Return what a person wants to know before it runs: name -> text, in reading order."""
        compare = self.config.compare
        steps = compare.steps
        return {
            "store": f"{self.config.store} ({self.stored:,} representations)",
            "results": str(self.config.output),
            "comparisons": f"{self.comparisons:,}",
            "representations": f"{len(self.representations):,}",
            "groups": f"{len(self.groups):,}",
            "equal in a group": ", ".join(compare.within) or "nothing: one group",
            "different in a pair": ", ".join(compare.differ) or "the representation alone",
            "steps": steps if isinstance(steps, str) else ", ".join(map(str, steps)),
            "estimator": self.config.estimator,
            "left out": left_out_text(self.dropped, self.dropped_examples),
            **({"hint": self.hint} if self.hint else {}),
            "reads": mib(self.bytes_to_read),
            "memory": f"about {mib(self.bytes_memory)}",
        }


def plan_sweep(config: SweepConfig, store: Store | None = None) -> SweepPlan:
    """Plan ``config`` from what its store says, reading none of the representations' data.

    Parameters
    ----------
    config
        What is asked for.
    store
        The open store, where the caller has it open already; else it is opened and closed here.

    Raises
    ------
    SweepError
        A field or value is unknown, a step is missing, the sweep is empty, the representations
        of a group are not of the same examples in the same order, or the output cannot be used.
    StoreError
        The store cannot be read, or a file of a model that is selected.
    """
    if store is None:
        with open_store(config.store) as opened:
            return plan_sweep(config, opened)
    require_usable(config.output, config.store)
    keys, unreadable = store.inventory()
    outside = require_readable(unreadable, config)
    factors = {model: store.factors(model) for model in dict.fromkeys(key.model for key in keys)}
    labels = [labels_of(key, factors[key.model]) for key in keys]
    selection = select_labels(labels, config)
    require_visible_keys(dict.fromkeys(own["model"] for own in selection.labels), factors)
    known = known_fields(labels)
    within, differ = config.compare.within, config.compare.differ
    require_fields(within, known, "compare.within")
    require_fields(differ, known, "compare.differ")
    both = [field for field in within if field in differ]
    if both:
        raise SweepError(
            f"compare: '{both[0]}' stands in within and in differ: it cannot be equal and differ"
        )
    hint = _hint(config, selection.labels)
    try:
        formed, dropped = form_groups(selection.labels, within, differ)
    except SweepError as error:
        raise SweepError(f"{error}; {hint}" if hint else str(error)) from None
    groups = tuple(
        _plan_group(position, group, selection.labels, within, store, config)
        for position, group in enumerate(formed)
    )
    every = (outside, selection.dropped, dropped)
    plan = SweepPlan(
        config=config,
        groups=groups,
        dropped={reason: count for own in every for reason, count in own.counts.items()},
        dropped_examples={reason: names for own in every for reason, names in own.examples.items()},
        stored=len(keys),
        hint=hint,
    )
    header(plan)  # a table with two columns of one name is refused before anything is computed
    return plan


def _hint(config: SweepConfig, labels: Sequence[Labels]) -> str:
    steps = sorted({own["step"] for own in labels})
    if config.compare.steps != "final_each" or "step" not in config.compare.within or not steps[1:]:
        return ""
    shown = ", ".join(map(str, steps[:4])) + (", ..." if len(steps) > 4 else "")
    return (
        f"steps: final_each takes each model's own last step, and these differ ({shown}); `step` "
        "in compare.within keeps them apart, so that they are not compared: leave it out of "
        "within, or take final_common"
    )


def _plan_group(
    position: int,
    group: LabelGroup,
    labels: Sequence[Labels],
    within: Sequence[str],
    store: Store,
    config: SweepConfig,
) -> GroupPlan:
    members = [labels[member] for member in group.members]
    infos = [store.info(Key(own["model"], own["step"], own["layer"])) for own in members]
    first = infos[0]
    for info in infos[1:]:
        require_same_examples(store, first, info)
    fields = {field: members[0][field] for field in within}
    needed = MIN_EXAMPLES[config.estimator]
    if first.n_examples < needed:
        raise SweepError(
            f"estimator: '{config.estimator}' needs at least {needed} examples, and group "
            f"'{group_name(fields)}' has {first.n_examples}"
        )
    representations = tuple(
        Representation(
            info.key,
            own,
            info.n_features,
            info.dtype,
            info.digest,
            staged=config.precision == "high" and info.dtype != "float64",
        )
        for own, info in zip(members, infos, strict=True)
    )
    return GroupPlan(
        position=position,
        fields=fields,
        representations=representations,
        pairs=group.pairs,
        n_examples=first.n_examples,
        examples_digest=first.examples_digest,
        pass_plan=plan_pass(
            first.n_examples,
            [info.n_features for info in infos],
            dtype=["float32" if r.staged else r.dtype for r in representations],
            precision=config.precision,
            staged=all(r.staged for r in representations),
        ),
    )


def mib(count: int) -> str:
    """Return a number of bytes in words."""
    return f"{count / 2**20:,.1f} MiB"
