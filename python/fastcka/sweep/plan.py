"""The plan of a sweep: what is read, compared and left out, before anything runs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fastcka.core import plan_pass
from fastcka.core.estimators import MIN_EXAMPLES
from fastcka.errors import SweepError
from fastcka.store import Key, Store, open_store
from fastcka.sweep.examples import ExampleIds, key_text
from fastcka.sweep.group import GroupPlan, Representation, group_name
from fastcka.sweep.labels import Labels, labels_of, require_fields
from fastcka.sweep.pairs import LabelGroup, form_groups
from fastcka.sweep.selection import known_fields, select_labels

if TYPE_CHECKING:
    from collections import Counter
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
    stored
        Number of representations in the store.
    """

    config: SweepConfig
    groups: tuple[GroupPlan, ...]
    dropped: dict[str, int]
    stored: int

    @cached_property
    def representations(self) -> tuple[Representation, ...]:
        """Every representation that is read, each once: groups do not overlap."""
        return tuple(r for group in self.groups for r in group.representations)

    @property
    def comparisons(self) -> int:
        """Number of comparisons: unordered pairs of different representations."""
        return sum(len(group.pairs) for group in self.groups)

    @property
    def factors(self) -> list[str]:
        """Every factor of the representations, sorted."""
        fields = {field for r in self.representations for field in r.labels}
        return sorted(fields - {"model", "step", "layer"})

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
            "bytes_to_read": self.bytes_to_read,
            "bytes_memory": self.bytes_memory,
            "group_plans": [group.to_dict() for group in self.groups],
        }

    def explain(self) -> str:
        """Return the plan in words: what is compared, what is left out and why, what it costs."""
        compare = self.config.compare
        steps = compare.steps if isinstance(compare.steps, str) else list(compare.steps)
        lines = [
            f"{len(self.representations)} of {self.stored} representations in {len(self.groups)} "
            f"group(s): {self.comparisons} comparisons",
            f"equal within a group: {', '.join(compare.within) or 'nothing (one group)'}",
            f"must differ in a pair: {', '.join(compare.differ) or 'the representation alone'}",
            f"steps: {steps}",
        ]
        lines += [f"left out: {count} {reason}" for reason, count in self.dropped.items()]
        lines += [
            f"reads {_mib(self.bytes_to_read)}; needs about {_mib(self.bytes_memory)} of memory",
            "first group: " + self.groups[0].name,
            self.groups[0].pass_plan.explain(),
        ]
        return "\n".join(lines)


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
        A field or value is unknown, a step is missing, the sweep is empty, or the representations
        of a group are not of the same examples in the same order.
    StoreError
        The store cannot be read.
    """
    if store is None:
        with open_store(config.store) as opened:
            return plan_sweep(config, opened)
    keys = store.keys()
    factors = {model: store.factors(model) for model in store.models()}
    labels = [labels_of(key.model, key.step, key.layer, factors[key.model]) for key in keys]
    selection = select_labels(labels, config)
    known = known_fields(labels)
    within, differ = config.compare.within, config.compare.differ
    require_fields(within, known, "compare.within")
    require_fields(differ, known, "compare.differ")
    both = [field for field in within if field in differ]
    if both:
        raise SweepError(
            f"compare: '{both[0]}' stands in within and in differ: it cannot be equal and differ"
        )
    formed, dropped = form_groups(selection.labels, within, differ)
    examples = ExampleIds(store)
    groups = tuple(
        _plan_group(position, group, selection.labels, within, store, examples, config)
        for position, group in enumerate(formed)
    )
    all_dropped: Counter[str] = selection.dropped + dropped
    return SweepPlan(config=config, groups=groups, dropped=dict(all_dropped), stored=len(keys))


def _plan_group(
    position: int,
    group: LabelGroup,
    labels: Sequence[Labels],
    within: Sequence[str],
    store: Store,
    examples: ExampleIds,
    config: SweepConfig,
) -> GroupPlan:
    members = [labels[member] for member in group.members]
    keys = [Key(own["model"], own["step"], own["layer"]) for own in members]
    infos = [store.info(key) for key in keys]
    for key, info in zip(keys[1:], infos[1:], strict=True):
        if info.n_examples != infos[0].n_examples:
            raise SweepError(
                f"{key_text(keys[0])} has {infos[0].n_examples} examples and {key_text(key)} has "
                f"{info.n_examples}: a group must hold the same examples (add a field to "
                "compare.within that separates them, or write them with the same examples)"
            )
        examples.require_same(keys[0], key)
    fields = {field: members[0][field] for field in within}
    needed = MIN_EXAMPLES[config.estimator]
    if infos[0].n_examples < needed:
        raise SweepError(
            f"estimator: '{config.estimator}' needs at least {needed} examples, and group "
            f"'{group_name(fields)}' has {infos[0].n_examples}"
        )
    representations = tuple(
        Representation(
            key,
            own,
            info.n_features,
            info.dtype,
            info.digest,
            staged=config.precision == "high" and info.dtype != "float64",
        )
        for key, own, info in zip(keys, members, infos, strict=True)
    )
    return GroupPlan(
        position=position,
        fields=fields,
        representations=representations,
        pairs=group.pairs,
        n_examples=infos[0].n_examples,
        examples_digest=examples.digest(keys[0]),
        pass_plan=plan_pass(
            infos[0].n_examples,
            [info.n_features for info in infos],
            dtype=["float32" if r.staged else r.dtype for r in representations],
            precision=config.precision,
            staged=all(r.staged for r in representations),
        ),
    )


def _mib(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"
