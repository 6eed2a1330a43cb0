"""Slices of a table: one layer of one family at one step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fastcka.report.roles import Roles
from fastcka.stats import PairTable

MIXED = "mixed"
"""The `step` of a slice in which the models are at different steps, each model at one step."""


@dataclass(frozen=True, eq=False)
class Slice:
    """Pairs of models of one family, with both sides at the same layer and step.

    Attributes
    ----------
    family, layer
        Labels; ``family`` is None if no factor has this role.
    step
        The step of both sides, or "mixed" if each model is at one step, but not all at the same.
    table
        The pairs, including pairs without a value.
    """

    family: str | None
    layer: str
    step: str
    table: PairTable

    @property
    def title(self) -> str:
        """A title for figures."""
        family = "" if self.family is None else f"{self.family} · "
        return f"{family}layer {self.layer} · {step_text(self.step, self.table)}"

    @property
    def stem(self) -> str:
        """Part of a file name, with safe characters only; not always unique."""
        parts = [self.family, f"layer{self.layer}", f"step{self.step}"]
        words = "_".join(part for part in parts if part)
        return re.sub(r"[^A-Za-z0-9]+", "_", words).strip("_")[:60]


@dataclass(frozen=True, eq=False)
class Cut:
    """A table cut into slices.

    Attributes
    ----------
    slices
        Slices within families, sorted by family, layer and step.
    whole
        Slices with all families of a layer and step, if the sweep compared families.
    steps
        The steps of the slices, in order.
    usable
        The pairs of two models with both sides at the same layer and step.
    left_out
        Reason -> number of pairs that are in no slice.
    """

    slices: tuple[Slice, ...]
    whole: tuple[Slice, ...]
    steps: tuple[str, ...]
    usable: PairTable
    left_out: dict[str, int]


def step_text(step: str, table: PairTable) -> str:
    """Describe a step. The table does not show which rule chose the steps of a mixed slice."""
    if step != MIXED:
        return f"step {step}"
    steps = [label for label in table.labels("step") if label is not None]
    return f"one step per model ({steps[0]} to {steps[-1]})"


def at_step(table: PairTable, step: str) -> PairTable:
    """Return the pairs at a step of a cut table; for "mixed", all pairs."""
    return table if step == MIXED else table.where(step=step)


def cut(table: PairTable, roles: Roles) -> Cut:
    """Cut ``table`` by family, layer and step."""
    left_out = {}
    itself = np.asarray(table.a["model"] == table.b["model"], bool)
    left_out["of a model with itself (layers or steps of one model)"] = int(itself.sum())
    table = table.keep(~itself)
    across = ~table.same("layer")
    left_out["of two different layers"] = int(across.sum())
    table = table.keep(~across)
    if has_mixed_steps(table):
        steps: tuple[str, ...] = (MIXED,)
    else:
        across = ~table.same("step")
        left_out["of two different steps"] = int(across.sum())
        table = table.keep(~across)
        steps = tuple(step for step in table.labels("step") if step is not None)
    families: list[str | None] = [None]
    if roles.family is not None:
        families = [name for name in table.labels(roles.family) if name is not None]
        left_out[f"without a '{roles.family}'"] = int(
            (~table.same(roles.family) & ~table.differ(roles.family)).sum()
        )
    layers = [layer for layer in table.labels("layer") if layer is not None]
    slices, whole = [], []
    if roles.family is not None and len(families) > 1:
        for layer in layers:
            for step in steps:
                pairs = at_step(table.where(layer=layer), step)
                if len(pairs) and pairs.differ(roles.family).any():
                    whole.append(Slice(None, layer, step, pairs))
    for family in families:
        of_family = table if roles.family is None else table.where(**{roles.family: family})
        for layer in layers:
            for step in steps:
                pairs = at_step(of_family.where(layer=layer), step)
                if len(pairs):
                    slices.append(Slice(family, layer, step, pairs))
    return Cut(
        slices=tuple(slices),
        whole=tuple(whole),
        steps=steps,
        usable=table,
        left_out={reason: count for reason, count in left_out.items() if count},
    )


def joined(parts: Sequence[Slice]) -> PairTable:
    """Return the pairs of all slices."""
    tables = [part.table for part in parts]
    first = tables[0]
    return PairTable(
        a={name: np.concatenate([table.a[name] for table in tables]) for name in first.a},
        b={name: np.concatenate([table.b[name] for table in tables]) for name in first.b},
        cka=np.concatenate([table.cka for table in tables]),
        n_examples=np.concatenate([table.n_examples for table in tables]),
        estimator=first.estimator,
        order=first.order,
    )


def has_mixed_steps(table: PairTable) -> bool:
    """Whether every model is at one step, but not all models at the same step."""
    steps: dict[str, set[str]] = {}
    for side in (table.a, table.b):
        for model, step in zip(side["model"], side["step"], strict=True):
            steps.setdefault(model, set()).add(step)
    one_each = all(len(model_steps) == 1 for model_steps in steps.values())
    return one_each and len(set().union(*steps.values())) > 1
