"""The rules of a sweep as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcka.sweep.question.labels import group_name

if TYPE_CHECKING:
    from fastcka.sweep.question.config import CompareConfig


def rule_facts(compare: CompareConfig) -> dict[str, str]:
    """Return the rules for pairs as text: first `within` and `differ`, then the others in use."""
    rules = {
        "equal in a group": ", ".join(compare.within) or "nothing: one group",
        "different in a pair": ", ".join(compare.differ) or "the representation alone",
        "equal in a pair": ", ".join(compare.same),
        "nothing shared in a pair": ", ".join(compare.disjoint),
        "something shared in a pair": ", ".join(compare.overlapping),
        "rising together in a pair": ", ".join(compare.ascending),
    }
    for side, wanted in (("left", compare.left), ("right", compare.right)):
        if wanted is not None:
            rules[side] = group_name(wanted)
    return {name: fields for name, fields in rules.items() if fields}
