"""The plan of a sweep: what is read, compared and left out, before anything runs."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from fastcka.core.backend import resolve_threads
from fastcka.errors import SweepError
from fastcka.memory import free_memory, parse_memory, size_text
from fastcka.out_of_memory import named_shortage
from fastcka.store import Key, Store, open_store
from fastcka.store.twins import twin_models, twin_steps
from fastcka.sweep.planning.columns import column_names
from fastcka.sweep.planning.duration import seconds_of, time_text
from fastcka.sweep.planning.examples import ExampleMatcher
from fastcka.sweep.planning.exporter import exporter_of
from fastcka.sweep.planning.folder import require_usable
from fastcka.sweep.planning.group import GroupPlan, Representation, measures_cost_text
from fastcka.sweep.planning.group_plan import plan_groups, why_not_here
from fastcka.sweep.planning.matched import examples_text
from fastcka.sweep.planning.memory import memory_of, memory_text
from fastcka.sweep.planning.row_blocks import blocks_text, fitted
from fastcka.sweep.question.config import naming_file
from fastcka.sweep.question.dropped import left_out_text
from fastcka.sweep.question.labels import (
    KEY_FIELDS,
    known_fields,
    labels_of,
    require_visible_keys,
)
from fastcka.sweep.question.pairs import derivation_text, form_groups
from fastcka.sweep.question.question import resolve
from fastcka.sweep.question.rule_facts import rule_facts
from fastcka.sweep.question.rules import require_rule_fields
from fastcka.sweep.question.selection import require_readable, select_labels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastcka.sweep.question.config import SweepConfig


@dataclass(frozen=True, eq=False)
class SweepPlan:
    """What a sweep will do.

    Attributes
    ----------
    config
        The configuration.
    groups
        The groups, in the order of their computation.
    dropped
        Reason -> count of what the sweep leaves out (representations, groups, pairs or files, as
        the reason says).
    dropped_examples
        Reason -> the names of up to three of these.
    stored
        Number of representations in the store.
    steps
        The chosen steps, as text.
    n_pairs, dropped_by_rule
        Number of pairs within the groups, and how many each rule leaves out, in the order of the
        rules. The remaining pairs are compared.
    explanations
        Notes on rules that are easily misunderstood.
    hint
        A probable mistake in the configuration, with a remedy; empty if there is none.
    threads
        Number of threads of a pass on the CPU, for the predictions.
    doubtful
        Suspicious data: models or steps that are equal in all their stored layers.
    memory
        Bytes that the sweep may use; None: a share of what is free.
    """

    config: SweepConfig
    groups: tuple[GroupPlan, ...]
    dropped: dict[str, int]
    dropped_examples: dict[str, list[str]]
    stored: int
    steps: str
    n_pairs: int
    dropped_by_rule: dict[str, int]
    explanations: list[str]
    hint: str
    threads: int
    doubtful: tuple[str, ...] = ()
    memory: int | None = None

    @cached_property
    def representations(self) -> tuple[Representation, ...]:
        """Every representation that is read, once each (groups do not overlap)."""
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
        """Predicted peak of additional memory: arrays (also those read ahead), passes, values."""
        needed = memory_of(self.groups, self.threads, self.config.device)
        return 0 if needed is None else needed.bytes

    @property
    def device(self) -> str:
        """The configured device, with a note if this machine lacks it (predictions: for a CPU)."""
        reason = why_not_here(self.config.device)
        if reason is None:
            return self.config.device
        return f"{self.config.device} ({reason}; time and memory are predicted for the CPU)"

    @property
    def seconds(self) -> float:
        """Predicted wall time in seconds: of each group, the slower of reading and computing."""
        return seconds_of(self.groups)

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
            "inference": self.config.inference and self.config.inference.to_dict(),
            "measures": [measure.to_dict() for measure in self.config.measures],
            "device": self.device,
            "precision": self.config.precision,
            "representations_stored": self.stored,
            "representations": len(self.representations),
            "groups": len(self.groups),
            "comparisons": self.comparisons,
            "steps": self.steps,
            "pairs_before_rules": self.n_pairs,
            "dropped_by_rule": dict(self.dropped_by_rule),
            "explanations": list(self.explanations),
            "dropped": dict(self.dropped),
            "dropped_examples": dict(self.dropped_examples),
            "hint": self.hint,
            "doubtful": list(self.doubtful),
            "bytes_to_read": self.bytes_to_read,
            "bytes_memory": self.bytes_memory,
            "bytes_free": free_memory().bytes,
            "seconds": self.seconds,
            "group_plans": [group.to_dict() for group in self.groups],
        }

    def explain(self) -> str:
        """Return the plan as text: what is compared, what is left out and why, and the cost."""
        first = self.groups[0]
        lines = [f"{name}: {text}" for name, text in self.facts().items()]
        return "\n".join([*lines, f"first group: {first.name}", first.pass_plan.explain()])

    def facts(self) -> dict[str, str]:
        """Return the facts to read before a run: name -> text, in reading order."""
        inference = self.config.inference
        derivation = derivation_text(self.n_pairs, self.dropped_by_rule)
        return {
            "store": f"{self.config.store} ({self.stored:,} representations)",
            "results": str(self.config.output),
            "representations": f"{len(self.representations):,}",
            "groups": f"{len(self.groups):,}",
            "pairs": "\n".join([f"{self.comparisons:,}: {derivation}", *self.explanations]),
            "examples": examples_text(group.examples for group in self.groups),
            **rule_facts(self.config.compare),
            "steps": self.steps,
            "estimator": self.config.estimator,
            **({"inference": str(inference)} if inference else {}),
            **({"measures": text} if (text := measures_cost_text(self.groups)) else {}),
            "device": self.device,
            "left out": left_out_text(self.dropped, self.dropped_examples),
            **({"hint": self.hint} if self.hint else {}),
            **({"doubtful": "\n".join(self.doubtful)} if self.doubtful else {}),
            "reads": size_text(self.bytes_to_read),
            **({"in blocks": text} if (text := blocks_text(self.groups)) else {}),
            "memory": memory_text(self.bytes_memory),
            "time": time_text(self.groups),
        }


@named_shortage("planning a sweep")
def plan_sweep(
    config: SweepConfig,
    store: Store | None = None,
    *,
    threads: int | None = None,
    memory: int | str | None = None,
) -> SweepPlan:
    """Plan a sweep from the index of its store; no representation is read.

    Parameters
    ----------
    config
        The sweep, from `load_sweep`.
    store
        The store of ``config``, already open. None opens it, and closes it at the end.
    threads
        Number of CPU threads for which time and memory are predicted; None uses the default of
        `fastcka.compare`.
    memory
        Bytes to use, as a number or text ("2GB"). Groups that need more are read in blocks of rows,
        in float64 on the CPU. None: 75 % of what is free.

    Returns
    -------
    SweepPlan
        The groups, what is left out and why, and the predicted time and memory.

    Raises
    ------
    SweepError
        A field or value is unknown, a step is missing, the sweep is empty, the representations
        of a group have too few examples in common, or the output cannot be used.
    StoreError
        The store, or a file of a selected model, cannot be read.
    """
    n_threads, _ = resolve_threads(threads)
    opened = open_store(config.store) if store is None else nullcontext(store)
    with naming_file(config), opened as known:
        return _planned(config, known, n_threads, parse_memory(memory))


def _planned(
    config: SweepConfig, store: Store, n_threads: int, bytes_allowed: int | None
) -> SweepPlan:
    require_usable(config.output, config.store)
    keys, unreadable = store.inventory()
    outside = require_readable(unreadable, config)
    factors = {model: store.factors(model) for model in dict.fromkeys(key.model for key in keys)}
    labels = [labels_of(key, factors[key.model]) for key in keys]
    question = resolve(config, labels)
    selection = select_labels(labels, question)
    require_visible_keys(dict.fromkeys(label["model"] for label in selection.labels), factors)
    require_rule_fields(config.compare, selection.labels, known_fields(labels))
    try:
        formed = form_groups(selection.labels, question.within, question.rules)
    except SweepError as error:
        hint = f"; {selection.hint}" if selection.hint else ""
        raise SweepError(f"{error}{hint}") from None
    matcher = ExampleMatcher(config.example_filter, config.estimator, config.sample)
    groups = plan_groups(
        formed.groups, selection.labels, question.within, store, matcher, config, n_threads
    )
    groups = fitted(
        groups,
        memory=bytes_allowed,
        device=config.device,
        precision=config.precision,
        threads=n_threads,
        inference=config.inference,
        measures=config.further_measures,
    )
    compared = [(r.key.model, r.key.step) for group in groups for r in group.representations]
    every = (outside, selection.dropped, formed.dropped)
    plan = SweepPlan(
        config=config,
        groups=groups,
        dropped={reason: count for part in every for reason, count in part.counts.items()},
        dropped_examples={
            reason: names for part in every for reason, names in part.examples.items()
        },
        stored=len(keys),
        steps=selection.steps,
        n_pairs=formed.n_pairs,
        dropped_by_rule=formed.by_rule,
        explanations=formed.explanations,
        hint=selection.hint,
        threads=n_threads,
        doubtful=(
            *map(str, twin_models(store, {model for model, _ in compared})),
            *map(str, twin_steps(store, compared)),
        ),
        memory=bytes_allowed,
    )
    column_names(config, plan.factors)  # refuses equal names before a run
    exporter = exporter_of(config)
    if exporter is not None:
        plan.explanations.extend(exporter.check_export(plan, store))
    return plan
