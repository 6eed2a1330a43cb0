"""Groups of representations and the pairs that are compared in each; uses only labels.

A comparison is an unordered pair of *representations*, never of values: between variants 1 and 2,
(1_orig, 2_seed1) and (1_seed1, 2_orig) are two comparisons of four different models, although both
compare "orig with seed1".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastcka.errors import SweepError
from fastcka.sweep.question.dropped import MOST_EXAMPLES, Dropped
from fastcka.sweep.question.labels import Labels, group_name, identity_of, key_text

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from numpy.typing import NDArray

    from fastcka.sweep.question.rules import PairRule


@dataclass(frozen=True, slots=True, eq=False)
class LabelGroup:
    """A group, as positions in the list of labels, and its pairs.

    Attributes
    ----------
    members
        Positions of the representations that take part in a comparison, ascending.
    pairs
        (P, 2) positions *within* ``members``, first < second, in lexicographic order.
    """

    members: tuple[int, ...]
    pairs: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class FormedGroups:
    """The groups that contain comparisons, and what the rules left out.

    Attributes
    ----------
    groups
        Groups, in the order of their first member.
    dropped
        Counts of the groups, representations and pairs that are left out.
    n_pairs
        Pairs of representations in one group, before any rule.
    by_rule
        Rule and its fields -> number of pairs that it left out, after the rules before it.
    explanations
        Notes on rules that are easily misunderstood.
    """

    groups: list[LabelGroup]
    dropped: Dropped
    n_pairs: int
    by_rule: dict[str, int]
    explanations: list[str]


def form_groups(
    labels: Sequence[Labels], within: Sequence[str], rules: Sequence[PairRule]
) -> FormedGroups:
    """Form the groups of ``labels``, with the pairs that every rule keeps.

    Raises
    ------
    SweepError
        A rule cannot be applied, or no comparison is left.
    """
    groups: dict[Hashable, list[int]] = {}
    for position, member in enumerate(labels):
        groups.setdefault(tuple(identity_of(member[field]) for field in within), []).append(
            position
        )

    dropped = Dropped()
    by_rule = {rule.name: 0 for rule in rules}
    explanations: dict[str, str] = {}
    formed = []
    n_pairs = 0
    for positions in groups.values():
        members = [labels[position] for position in positions]
        pairs = _all_pairs(len(members))
        n_pairs += len(pairs)
        for rule in rules:
            if not len(pairs):
                break
            kept = rule.keeps(members, pairs)
            left_out = pairs[~kept]
            pairs = pairs[kept]
            if not len(left_out):
                continue
            by_rule[rule.name] += len(left_out)
            shown = [[members[i] for i in pair] for pair in left_out[:MOST_EXAMPLES].tolist()]
            dropped.add(
                rule.reason,
                *(" and ".join(map(key_text, pair)) for pair in shown),
                count=len(left_out),
            )
            if rule.explain is not None and rule.name not in explanations:
                explanations[rule.name] = rule.explain(*shown[0])
        used = np.unique(pairs)
        if len(used):
            _count_unpaired(dropped, members, used)
            formed.append(
                LabelGroup(
                    members=tuple(positions[i] for i in used),
                    pairs=np.searchsorted(used, pairs),
                )
            )
        else:
            _count_empty(dropped, members, within)
    if not formed:
        raise SweepError(_why_empty(labels, within, len(groups), n_pairs, by_rule))
    return FormedGroups(formed, dropped, n_pairs, by_rule, list(explanations.values()))


def derivation_text(n_pairs: int, by_rule: Mapping[str, int]) -> str:
    """Return in one line how many pairs there are, and how many each rule leaves out."""
    left_out = "".join(f", minus {count:,} by {rule}" for rule, count in by_rule.items())
    return f"{n_pairs:,} within the groups{left_out}"


def _all_pairs(count: int) -> NDArray[np.int64]:
    first, second = np.triu_indices(count, k=1)
    return np.column_stack([first, second])


def _count_unpaired(dropped: Dropped, members: Sequence[Labels], used: NDArray[np.int64]) -> None:
    for i in sorted(set(range(len(members))).difference(used.tolist())):
        dropped.add("representations without a partner in the group", key_text(members[i]))


def _count_empty(dropped: Dropped, members: Sequence[Labels], within: Sequence[str]) -> None:
    name = group_name({field: members[0][field] for field in within})
    size = "one member" if len(members) == 1 else f"{len(members)} members"
    dropped.add("groups without a comparison", f"{name}: {size}")
    dropped.add(
        "representations of groups without a comparison",
        *(key_text(member) for member in members[:MOST_EXAMPLES]),
        count=len(members),
    )


def _why_empty(
    labels: Sequence[Labels],
    within: Sequence[str],
    n_groups: int,
    n_pairs: int,
    by_rule: Mapping[str, int],
) -> str:
    if n_pairs:
        reason = f"{derivation_text(n_pairs, by_rule)}: 0 are left"
    elif len(labels) > 1:
        reason = f"no two representations agree on {', '.join(within)}"
    else:
        reason = "there is only one representation"
    return (
        f"the sweep is empty: {len(labels)} representation(s) in {n_groups} group(s) give no "
        f"comparison: {reason}"
    )
