"""Groups of representations, and the pairs that are compared in each: pure, on labels alone.

A comparison is an unordered pair of *representations*. Rules look at the two values of a field and
never fold pairs of values: between variants 1 and 2, (1_orig, 2_seed1) and (1_seed1, 2_orig) are
two comparisons of four different models, though both read "orig against seed1".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastcka.errors import SweepError
from fastcka.sweep.dropped import MOST_EXAMPLES, Dropped
from fastcka.sweep.labels import Labels, group_name, identity_of, key_text, value_text

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class LabelGroup:
    """Positions in the list of labels that form a group, and its pairs.

    Attributes
    ----------
    members
        Positions of the representations that take part in a comparison, ascending.
    pairs
        (P, 2) positions *within* ``members``, first < second, in lexicographic order.
    """

    members: tuple[int, ...]
    pairs: NDArray[np.int64]


def form_groups(
    labels: Sequence[Labels], within: Sequence[str], differ: Sequence[str]
) -> tuple[list[LabelGroup], Dropped]:
    """Return the groups that hold comparisons, in the order of their first member, and the drops.

    Raises
    ------
    SweepError
        A representation lacks a field of ``within`` or ``differ``, or no comparison is left.
    """
    groups: dict[Hashable, list[int]] = {}
    for position, own in enumerate(labels):
        _require(own, within, "within")
        _require(own, differ, "differ")
        groups.setdefault(tuple(identity_of(own[field]) for field in within), []).append(position)

    dropped = Dropped()
    formed = []
    for members in groups.values():
        pairs = _all_pairs(len(members))
        for field in differ:
            unequal = _unequal([labels[position][field] for position in members], pairs)
            equal = np.flatnonzero(~unequal)
            if len(equal):
                dropped.add(
                    f"pairs in a group with equal '{field}' (compare.differ)",
                    *(
                        " and ".join(key_text(labels[members[at]]) for at in pair)
                        for pair in pairs[equal[:MOST_EXAMPLES]].tolist()
                    ),
                    count=len(equal),
                )
            pairs = pairs[unequal]
        if not len(pairs):
            name = group_name({field: labels[members[0]][field] for field in within})
            size = "one member" if len(members) == 1 else f"{len(members)} members"
            dropped.add("groups without a comparison", f"{name}: {size}")
            dropped.add(
                "representations of groups without a comparison",
                *(key_text(labels[position]) for position in members[:MOST_EXAMPLES]),
                count=len(members),
            )
            continue
        used = np.unique(pairs)
        for position in sorted(set(range(len(members))).difference(used.tolist())):
            dropped.add(
                "representations without a partner in the group",
                key_text(labels[members[position]]),
            )
        formed.append(
            LabelGroup(
                members=tuple(members[position] for position in used),
                pairs=np.searchsorted(used, pairs),
            )
        )
    if not formed:
        raise SweepError(_why_empty(labels, within, differ, n_groups=len(groups)))
    return formed, dropped


def _all_pairs(count: int) -> NDArray[np.int64]:
    first, second = np.triu_indices(count, k=1)
    return np.column_stack([first, second])


def _unequal(values: Sequence[object], pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    # Equal values get equal numbers, so that a group of thousands is compared without a loop.
    numbers: dict[Hashable, int] = {}
    codes = np.array([numbers.setdefault(identity_of(value), len(numbers)) for value in values])
    return np.asarray(codes[pairs[:, 0]] != codes[pairs[:, 1]])


def _require(own: Labels, fields: Sequence[str], rule: str) -> None:
    for field in fields:
        if field not in own:
            raise SweepError(
                f"compare.{rule}: model '{own['model']}' has no factor '{field}' (it has: "
                f"{', '.join(own)}); give it one, or leave the model out by `select`"
            )


def _why_empty(
    labels: Sequence[Labels], within: Sequence[str], differ: Sequence[str], *, n_groups: int
) -> str:
    one_value = [f for f in differ if len({identity_of(own[f]) for own in labels}) == 1]
    if one_value:
        value = value_text(labels[0][one_value[0]])
        reason = f"'{one_value[0]}' must differ, and all have the value {value}"
    elif n_groups == len(labels):
        shown = ", ".join(within)
        reason = f"no two representations are equal in {shown}" if within else "there is only one"
    else:
        reason = f"in no group do two representations differ in {', '.join(differ)}"
    return (
        f"the sweep is empty: {len(labels)} representation(s) in {n_groups} group(s) make no "
        f"comparison: {reason}"
    )
