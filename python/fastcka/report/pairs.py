"""All pairs of a sweep as data for the page's script, and the fields that structure them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcka.report.charts import numbers
from fastcka.report.facts import RunFacts
from fastcka.report.roles import Roles
from fastcka.report.slices import MIXED, has_mixed_steps, step_text
from fastcka.report.values import MAIN, values_of
from fastcka.stats import PairTable
from fastcka.stats.cells import Labels
from fastcka.sweep.question.labels import KEY_FIELDS
from fastcka.sweep.results.names import model_names

Key = tuple[str, str, str]
"""Model, step and layer."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """The representations of a table, and the positions of the two sides of each pair.

    Attributes
    ----------
    table
        The table.
    keys
        R representations.
    a, b
        (n_pairs,) positions in ``keys``.
    fixed
        The fields in which the two sides of every pair agree: the page shows one label of each at
        a time. A field that another one determines is left out.
    varying
        The other fields of the key that distinguish representations.
    """

    table: PairTable
    keys: tuple[Key, ...]
    a: NDArray[np.int64]
    b: NDArray[np.int64]
    fixed: tuple[str, ...]
    varying: tuple[str, ...]

    @classmethod
    def of(cls, table: PairTable, roles: Roles) -> Pairs:
        """Return the pairs of a table."""
        sides = [keys_of(side) for side in (table.a, table.b)]
        keys = tuple(dict.fromkeys(sides[0] + sides[1]))
        position = {key: i for i, key in enumerate(keys)}
        a, b = (np.array([position[key] for key in side], np.int64) for side in sides)
        fixed = _fixed_fields(table, roles)
        varying = [
            name
            for name in ("model", "layer", "step")
            if name not in fixed and len(table.labels(name)) > 1
        ]
        if has_mixed_steps(table) and "step" in varying:  # the model determines its step
            varying.remove("step")
        return cls(table, keys, a, b, fixed, tuple(varying) or ("model",))

    def labels_of(self, name: str) -> list[str | None]:
        """Return the label of each representation in a field."""
        if name in KEY_FIELDS:
            place = KEY_FIELDS.index(name)
            return [key[place] for key in self.keys]
        models = self.table.models()
        return [models[model][name] for model, _, _ in self.keys]

    def at_last_step(self) -> tuple[str, PairTable]:
        """Return the last step as text, and its pairs; all pairs if pairs are between steps."""
        steps = [step for step in self.table.labels("step") if step is not None]
        if "step" in self.fixed or len(steps) == 1:
            return step_text(steps[-1], self.table), self.table.where(step=steps[-1])
        if has_mixed_steps(self.table):
            return step_text(MIXED, self.table), self.table
        return "all steps", self.table

    def several(self, name: str | None) -> bool:
        """Whether the page shows several labels of a field at once; False for None."""
        return name is not None and name not in self.fixed and len(self.table.labels(name)) > 1


def keys_of(side: Mapping[str, Labels]) -> list[Key]:
    """Return the representations of one side of a table."""
    return list(zip(side["model"], side["step"], side["layer"], strict=True))


def page_data(
    pairs: Pairs, roles: Roles, facts: RunFacts, ranks: Sequence[int] | None
) -> dict[str, Any]:
    """Return the data of all pairs for JSON.

    ``ranks`` is the position of each representation in the order of a clustering; None if there is
    no clustering.
    """
    table = pairs.table
    fields: dict[str, dict[str, list[Any]]] = {}
    for name in table.fields:
        labels = [label for label in table.labels(name) if label is not None]
        code = {label: i for i, label in enumerate(labels)}
        codes = [-1 if label is None else code[label] for label in pairs.labels_of(name)]
        fields[name] = {"labels": labels, "codes": codes}
    names = model_names(table.models(), roles.nesting)
    return {
        "fields": fields,
        "names": [names[model] for model in fields["model"]["labels"]],
        "features": [facts.n_features.get(key) for key in pairs.keys],
        "a": pairs.a.tolist(),
        "b": pairs.b.tolist(),
        "n": table.n_examples.tolist(),
        "values": [
            {
                "name": value.name,
                "title": value.title,
                "limits": value.limits,
                "numbers": numbers(value.numbers),
                **({} if value.reverse is None else {"reverse": numbers(value.reverse)}),
            }
            for value in values_of(table)
        ],
        "main": MAIN,
        "inference": {
            name: numbers(table.numbers[name])
            for name in ("ci_low", "ci_high", "p_value", "q_value")
            if name in table.numbers and np.isfinite(table.numbers[name]).any()
        },
        "level": facts.level,
        "ranks": None if ranks is None else list(ranks),
    }


def _fixed_fields(table: PairTable, roles: Roles) -> tuple[str, ...]:
    """Return the fields with several labels in which all pairs agree, each determining no other."""
    names = dict.fromkeys(("step", "layer", "model", *reversed(roles.nesting), *table.fields))
    fixed: list[str] = []
    for name in names:
        agree = len(table.labels(name)) > 1 and table.same(name).all()
        if agree and not any(_determines(table, other, name) for other in fixed):
            fixed.append(name)
    return tuple(fixed)


def _determines(table: PairTable, name: str, other: str) -> bool:
    """Whether all representations with one label in ``name`` have one label in ``other``."""
    both = {*zip(table.a[name], table.a[other], strict=True)}
    return len(both) == len({first for first, _ in both})
