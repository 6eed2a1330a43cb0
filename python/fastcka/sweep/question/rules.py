"""The rules that decide which pairs of a group are compared. Each is a mask over pairs.

A rule uses only the labels of the two representations, and not which comes first. Rules apply in a
fixed order: left and right, same, disjoint, overlapping, differ, ascending. A pair is counted under
the first rule that drops it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastcka.errors import SweepError
from fastcka.sweep.question.labels import (
    Labels,
    group_name,
    identity_of,
    json_text,
    require_fields,
    value_text,
)
from fastcka.sweep.question.ordering import ranks

if TYPE_CHECKING:
    from collections.abc import Hashable

    from fastcka.sweep.question.config import CompareConfig
    from fastcka.sweep.question.selection import Sides

Pairs = NDArray[np.int64]
Mask = NDArray[np.bool_]

_EQUAL = ("within", "same")
_UNEQUAL = ("differ", "disjoint", "ascending")
_CONTRADICTIONS = (*product(_EQUAL, _UNEQUAL), ("disjoint", "overlapping"))
_NEEDING_FIELDS = ("within", "same", "disjoint", "overlapping", "differ", "ascending")


@dataclass(frozen=True, slots=True)
class PairRule:
    """A rule that keeps some pairs of a group.

    Attributes
    ----------
    name
        The rule and its fields: ``disjoint tasks``.
    reason
        Description of the pairs that it drops, for `Dropped`.
    keeps
        ``keeps(members, pairs)`` returns a mask over pairs of positions in ``members``.
    explain
        Returns a note on one dropped pair, where the rule is easily misunderstood.
    """

    name: str
    reason: str
    keeps: Callable[[Sequence[Labels], Pairs], Mask]
    explain: Callable[[Labels, Labels], str] | None = None


def _require_consistent(compare: CompareConfig) -> None:
    """Refuse rules that contradict each other, and an `order` that no rule uses.

    Raises
    ------
    SweepError
        The message names both rules, or the field.
    """
    for one, other in _CONTRADICTIONS:
        for field in getattr(compare, one):
            if field in getattr(compare, other):
                raise SweepError(
                    f"compare: '{field}' is in both {one} and {other}, which contradict each "
                    "other; remove it from one of them"
                )
    for field, values in compare.order.items():
        if field not in compare.ascending:
            raise SweepError(
                f"compare.order: '{field}' is not in compare.ascending, the only rule that uses an "
                "order; add it there, or remove the order"
            )
        if len({identity_of(value) for value in values}) < len(values):
            raise SweepError(f"compare.order.{field}: expected each value once, got {values}")
    for one, other in (("left", "right"), ("right", "left")):
        if getattr(compare, one) is not None and getattr(compare, other) is None:
            raise SweepError(
                f"compare.{one}: expected compare.{other} too; `{other}: {{}}` allows every "
                "representation"
            )


def require_rule_fields(
    compare: CompareConfig, labels: Sequence[Labels], known: Sequence[str]
) -> None:
    """Refuse fields that are unknown, that a representation lacks, or that a rule cannot use."""
    for rule in _NEEDING_FIELDS:
        fields = getattr(compare, rule)
        require_fields(fields, known, f"compare.{rule}")
        for field in fields:
            for representation in labels:
                if field not in representation:
                    raise SweepError(
                        f"compare.{rule}: model '{representation['model']}' has no "
                        f"factor '{field}' (it has: {', '.join(representation)}); add the factor, "
                        "or leave the model out by `exclude`"
                    )
                if rule in ("disjoint", "overlapping"):
                    _require_set(representation, field, rule)
                elif rule == "ascending":
                    _require_single(representation, field)
            values = {identity_of(representation[field]) for representation in labels}
            if rule in ("differ", "ascending") and len(labels) > len(values) == 1:
                raise SweepError(
                    f"compare.{rule}: the sweep is empty: '{field}' must differ, but every "
                    f"representation has the value {value_text(labels[0][field])}"
                )


def pair_rules(compare: CompareConfig, sides: Sides | None) -> list[PairRule]:
    """Return the rules of ``compare`` in the order in which they are applied.

    Raises
    ------
    SweepError
        Two rules contradict each other, or no rule uses an `order`.
    """
    _require_consistent(compare)
    rules = []
    if sides is not None:
        rules.append(
            PairRule(
                "left and right",
                "pairs in a group within one side (compare.left, compare.right)",
                sides.across,
            )
        )
    for rule, fields, words, related in (
        ("same", compare.same, "with different '{}'", _equal),
        ("disjoint", compare.disjoint, "with a common member of '{}'", _sharing_nothing),
        ("overlapping", compare.overlapping, "without a common member of '{}'", _sharing),
        ("differ", compare.differ, "with equal '{}'", _unequal),
        ("ascending", compare.ascending, "with equal '{}'", _unequal),
    ):
        rules += [
            PairRule(
                f"{rule} {', '.join(fields)}",
                f"pairs in a group {words.format(field)} (compare.{rule})",
                partial(_related, field, related),
            )
            for field in fields
        ]
    if compare.ascending:
        listed = ", ".join(compare.ascending)
        rules.append(
            PairRule(
                f"ascending {listed}",
                f"pairs in a group rising in one and falling in another of {listed} "
                "(compare.ascending): these are different comparisons from those kept",
                partial(_rising_together, compare),
                partial(_no_repeat, compare),
            )
        )
    return rules


def _related(
    field: str,
    related: Callable[[Sequence[object]], Mask],
    members: Sequence[Labels],
    pairs: Pairs,
) -> Mask:
    # A table over distinct values, so that large groups need no loop over pairs.
    numbers: dict[Hashable, int] = {}
    values: list[object] = []
    codes = []
    for representation in members:
        identity = identity_of(representation[field])
        if identity not in numbers:
            numbers[identity] = len(values)
            values.append(representation[field])
        codes.append(numbers[identity])
    code = np.array(codes)
    return np.asarray(related(values)[code[pairs[:, 0]], code[pairs[:, 1]]])


def _equal(values: Sequence[object]) -> Mask:
    return np.eye(len(values), dtype=np.bool_)


def _unequal(values: Sequence[object]) -> Mask:
    return ~_equal(values)


def _sharing(values: Sequence[object]) -> Mask:
    sets = [_members(value) for value in values]
    every = {member: column for column, member in enumerate(set().union(*sets))}
    holds = np.zeros((len(sets), len(every)), dtype=np.float32)
    for row, members in enumerate(sets):
        holds[row, [every[member] for member in members]] = 1
    return np.asarray(holds @ holds.T > 0)


def _sharing_nothing(values: Sequence[object]) -> Mask:
    return ~_sharing(values)


def _members(value: object) -> set[Hashable]:
    members = value if isinstance(value, list | tuple) else [value]
    return {identity_of(member) for member in members}


def _require_set(representation: Labels, field: str, rule: str) -> None:
    """Refuse a null, and a text with commas, which was probably meant as a list."""
    value = representation[field]
    if value is None or (isinstance(value, str) and "," in value):
        given = "null" if value is None else f"the single text '{value}'"
        model = representation["model"]
        raise SweepError(
            f"compare.{rule}: '{field}' of model '{model}' is {given}: "
            "expected a list such as [a, b] ([] for none), or one value; change it, or leave "
            "the model out by `exclude`"
        )


def _require_single(representation: Labels, field: str) -> None:
    value = representation[field]
    if value is None or isinstance(value, list | tuple):
        model = representation["model"]
        raise SweepError(
            f"compare.ascending: '{field}' of model '{model}' is "
            f"{json_text(value)}: expected a single value; change it, or leave the model out by "
            "`exclude`"
        )


def _rising_together(compare: CompareConfig, members: Sequence[Labels], pairs: Pairs) -> Mask:
    up = down = np.ones(len(pairs), dtype=np.bool_)
    for field in compare.ascending:
        rank = ranks(field, members, compare.order.get(field))
        first, second = rank[pairs[:, 0]], rank[pairs[:, 1]]
        up, down = up & (first < second), down & (first > second)
    return up | down


def _no_repeat(compare: CompareConfig, a: Labels, b: Labels) -> str:
    """Return a note: a crossed pair is not the mirror image of one that rises in all fields."""
    lower, upper = {}, {}
    for field in compare.ascending:
        first, second = ranks(field, [a, b], compare.order.get(field))
        low, high = (a, b) if first < second else (b, a)
        lower[field], upper[field] = low[field], high[field]
    one, other = (
        group_name({f: representation[f] for f in compare.ascending}) for representation in (a, b)
    )
    what = "models" if a["model"] != b["model"] else "representations"
    return (
        f"compare.ascending leaves out comparisons of different {what}, not repeats: it leaves out "
        f"({one}) with ({other}) and keeps ({group_name(lower)}) with ({group_name(upper)}); "
        "without ascending, both pairs are compared, each once"
    )
