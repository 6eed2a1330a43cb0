"""The parts of a table that are drawn together: one layer of one family at one step."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from fastcka.report.roles import Roles
from fastcka.stats import PairTable

OWN = "own"


@dataclass(frozen=True, eq=False)
class Slice:
    """Pairs of models of one family, both sides at one layer and one moment.

    Attributes
    ----------
    family, layer
        Labels; ``family`` is None where no factor plays it.
    step
        The step of both sides, or "own" where each model stands at a step of its own.
    table
        The pairs, those without a value among them.
    """

    family: str | None
    layer: str
    step: str
    table: PairTable

    @property
    def title(self) -> str:
        """It in words."""
        family = "" if self.family is None else f"{self.family} · "
        return f"{family}layer {self.layer} · {moment_text(self.step, self.table)}"

    @property
    def stem(self) -> str:
        """It as part of a file's name (safe; not always unique)."""
        parts = [self.family, f"layer{self.layer}", f"step{self.step}"]
        words = "_".join(part for part in parts if part)
        return re.sub(r"[^A-Za-z0-9]+", "_", words).strip("_")[:60]


@dataclass(frozen=True, eq=False)
class Cut:
    """A table cut into slices.

    Attributes
    ----------
    slices
        Within families, in the order of family, layer and step.
    whole
        All families of a layer and step together, where pairs across families were compared.
    moments
        The steps, in order.
    usable
        The pairs of two models, both at one layer and one moment.
    left_out
        Reason -> number of pairs that are in no slice.
    """

    slices: tuple[Slice, ...]
    whole: tuple[Slice, ...]
    moments: tuple[str, ...]
    usable: PairTable
    left_out: dict[str, int]


def moment_text(step: str, table: PairTable) -> str:
    """Return a moment in words; which policy chose each model's own step, the table cannot tell."""
    if step != OWN:
        return f"step {step}"
    steps = [own for own in table.labels("step") if own is not None]
    return f"each model's own step ({steps[0]} to {steps[-1]})"


def cut(table: PairTable, roles: Roles) -> Cut:
    """Cut ``table`` by family, layer and step."""
    left_out = {}
    own = table.a["model"] == table.b["model"]
    left_out["of a model with itself (layers or steps of one model)"] = int(own.sum())
    table = table.keep(~np.asarray(own, bool))
    across = ~table.same("layer")
    left_out["of two different layers"] = int(across.sum())
    table = table.keep(~across)
    moment = _moments(table)
    if moment is None:
        across = ~table.same("step")
        left_out["of two different steps"] = int(across.sum())
        table = table.keep(~across)
        moments = tuple(step for step in table.labels("step") if step is not None)
    else:
        moments = (moment,)
    slices, whole = [], []
    families: list[str | None] = [None]
    if roles.family is not None:
        families = [name for name in table.labels(roles.family) if name is not None]
        left_out[f"without a '{roles.family}'"] = int(
            (~table.same(roles.family) & ~table.differ(roles.family)).sum()
        )
    for layer in table.labels("layer"):
        of_layer = table.where(layer=layer)
        for step in moments:
            here = of_layer if step == OWN else of_layer.where(step=step)
            if layer is not None and len(here) and len(families) > 1 and roles.family is not None:
                crossing = here.differ(roles.family).any()
                whole += [Slice(None, layer, step, here)] if crossing else []
    for family in families:
        mine = table if roles.family is None else table.where(**{roles.family: family})
        for layer in table.labels("layer"):
            for step in moments:
                here = mine.where(layer=layer)
                here = here if step == OWN else here.where(step=step)
                if layer is not None and len(here):
                    slices.append(Slice(family, layer, step, here))
    return Cut(
        slices=tuple(slices),
        whole=tuple(whole),
        moments=moments,
        usable=table,
        left_out={reason: count for reason, count in left_out.items() if count},
    )


def _moments(table: PairTable) -> str | None:
    """Return "own" where each model has one step, and not all the same; else None."""
    steps: dict[str, set[str]] = {}
    for side in (table.a, table.b):
        for model, step in zip(side["model"], side["step"], strict=True):
            steps.setdefault(model, set()).add(step)
    alone = all(len(own) == 1 for own in steps.values())
    return OWN if alone and len({step for own in steps.values() for step in own}) > 1 else None
