"""The question of a sweep, resolved against the labels of a store.

`resolve` checks every field and value of the configuration that the labels decide. What follows
(`select_labels`, `form_groups`) uses the resolved question and not the configuration.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastcka.errors import SweepError
from fastcka.near_misses import near_misses
from fastcka.sweep.question.labels import (
    identity_of,
    json_text,
    known_fields,
    require_fields,
)
from fastcka.sweep.question.rules import pair_rules
from fastcka.sweep.question.selection import Sides, allowed_values

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from fastcka.sweep.question.config import SweepConfig
    from fastcka.sweep.question.labels import Allowed, Labels
    from fastcka.sweep.question.rules import PairRule
    from fastcka.sweep.question.steps import StepsPolicy
    from fastcka.yaml_file import FieldPath


@dataclass(frozen=True, slots=True)
class Question:
    """What a sweep selects and compares; each field and value occurs in the store.

    Attributes
    ----------
    select, exclude
        Allowed values of the representations that take part, and of those that are left out.
    steps
        The policy for steps.
    within
        The fields that are equal within a group.
    sides
        `left` and `right`; None without them.
    rules
        The rules for pairs, in the order in which they apply.
    """

    select: Allowed
    exclude: Allowed
    steps: StepsPolicy
    within: tuple[str, ...]
    sides: Sides | None
    rules: list[PairRule]


def resolve(config: SweepConfig, stored: Sequence[Labels]) -> Question:
    """Return the question of ``config`` for a store with the labels ``stored``.

    Raises
    ------
    SweepError
        Two rules contradict each other, the store is empty, or a field or value of ``select``,
        ``exclude``, ``left`` or ``right`` does not occur in it.
    """
    if not stored:
        raise SweepError(f"{config.store}: the store contains no representations")
    compare = config.compare
    select, exclude, left, right = (
        _required_values(wanted or {}, where, stored, config)
        for where, wanted in config.wanted.items()
    )
    sides = None if compare.left is None or compare.right is None else Sides(left, right)
    return Question(
        select=select,
        exclude=exclude,
        steps=compare.steps,
        within=compare.within,
        sides=sides,
        rules=pair_rules(compare, sides),
    )


def _required_values(
    wanted: Mapping[str, Sequence[object]],
    where: FieldPath,
    stored: Sequence[Labels],
    config: SweepConfig,
) -> Allowed:
    """Return the values that a mapping such as ``select`` allows.

    Each field and value must occur in the store. One that does not is a misspelling, or was read
    by YAML as another type, and would silently select nothing.
    """
    name = ".".join(map(str, where))
    require_fields(list(wanted), known_fields(stored), name)
    for field, values in wanted.items():
        present: dict[Hashable, object] = {}
        for representation in stored:
            value = representation.get(field, ())
            for member in value if isinstance(value, list | tuple) else [value]:
                present.setdefault(identity_of(member), member)
        for position, value in enumerate(values):
            if identity_of(value) not in present:
                given = config.descriptions[(*where, field, position)]
                shown = sorted((json_text(one) for one in present.values()), key=_size)
                raise SweepError(
                    f"{name}.{field}: no representation in {config.store} has {given}"
                    f"{near_misses(json_text(value), shown)}"
                )
    return allowed_values(wanted)


def _size(text: str) -> tuple[int, str]:
    return (len(text), text)  # so that 2 comes before 10
