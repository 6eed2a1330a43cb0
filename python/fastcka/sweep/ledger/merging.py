"""The ledgers of an output folder: that of the sweep, and those of its shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcka.errors import DamagedGroupError
from fastcka.sweep.ledger.ledger import Ledger
from fastcka.sweep.ledger.values import GroupValues, group_identity
from fastcka.sweep.planning.folder import LEDGER, shard_ledgers

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from fastcka.sweep.planning.group import GroupPlan
    from fastcka.sweep.planning.plan import SweepPlan
    from fastcka.sweep.question.computation import Computation


def groups_held(plan: SweepPlan, output: Path) -> set[int]:
    """Return the positions of the groups with validated values in at least one ledger.

    Raises
    ------
    LedgerError
        A file at the path of a ledger is not a ledger, or cannot be read.
    """
    held: set[int] = set()
    for path in (output / LEDGER, *shard_ledgers(output)):
        if path.is_file():
            with Ledger(path) as ledger:
                missing = (group for group in plan.groups if group.position not in held)
                held |= {group.position for group, _ in _valid(missing, plan, ledger)}
    return held


def adopt_shards(ledger: Ledger, plan: SweepPlan) -> None:
    """Copy the groups of ``plan`` that ``ledger`` lacks from the ledgers of the shards.

    Raises
    ------
    LedgerError
        A file at the path of a ledger is not a ledger, or cannot be read or written.
    """
    wanted = {group.position: group for group in plan.groups}
    paths = shard_ledgers(ledger.path.parent)
    if paths:
        for group, _ in _valid(plan.groups, plan, ledger):
            del wanted[group.position]
    for path in paths:
        with Ledger(path) as shard:
            for group, values in _valid(list(wanted.values()), plan, shard):
                ledger.commit([(group, values)], plan.config.computation)
                del wanted[group.position]


def comparisons_held(plan: SweepPlan) -> int:
    """Return how many comparisons of ``plan`` have validated values in the output's ledgers.

    Raises
    ------
    LedgerError
        A file at the path of a ledger is not a ledger, or cannot be read.
    """
    missing = sum(len(group.pairs) for group in groups_to_compute(plan))
    return plan.comparisons - missing


def groups_to_compute(plan: SweepPlan) -> list[GroupPlan]:
    """Return the groups without validated values in any ledger.

    Raises
    ------
    LedgerError
        A file at the path of a ledger is not a ledger, or cannot be read.
    """
    held = groups_held(plan, plan.config.output)
    return [group for group in plan.groups if group.position not in held]


def why_again(group: GroupPlan, ledger: Ledger, computation: Computation) -> str | None:
    """Return why a group is computed again, if the ledger contains invalid or older values."""
    try:
        ledger.read(group_identity(group, computation))
    except DamagedGroupError as error:
        return str(error)
    if ledger.has_other_data(group, computation):
        return f"group '{group.name}': its data or examples have changed"
    return None


def _valid(
    groups: Iterable[GroupPlan], plan: SweepPlan, ledger: Ledger
) -> Iterable[tuple[GroupPlan, GroupValues]]:
    for group in groups:
        try:
            values = ledger.read(group_identity(group, plan.config.computation))
        except DamagedGroupError:
            continue  # treated as missing; the run that computes it again reports this
        if values is not None:
            yield group, values
