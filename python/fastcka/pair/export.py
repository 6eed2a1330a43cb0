"""``export: pairs``: a folder for each pair of models, from the values in the ledger.

The folders have the files that `fastcka pair` writes. A run removes the folders below ``pairs/``
that an earlier run wrote for other pairs. Folders that `fastcka pair` wrote for other pairs stay.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Final

from fastcka.errors import LedgerError
from fastcka.files import write_errors
from fastcka.pair.folder import write_folder
from fastcka.pair.planned import GROUP_EXAMPLES, PairCell, PlannedPair, planned_pairs
from fastcka.pair.results import FILES, SUMMARY, PairPoint, PairResult, result_files, undefined_text
from fastcka.sweep.ledger.ledger import Ledger
from fastcka.sweep.ledger.values import GroupValues, group_identity
from fastcka.sweep.planning.folder import PAIRS
from fastcka.sweep.results.exports import undefined_reasons

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence
    from pathlib import Path

    from fastcka.store import Store
    from fastcka.sweep.planning.plan import SweepPlan

PROGRAM: Final = "fastcka run"


def check_export(plan: SweepPlan, store: Store) -> list[str]:
    """Plan the pairs of a sweep, and return what a reader of their folders should know.

    Raises
    ------
    SweepError
        The sweep has comparisons that are no pairs; see `planned_pairs`.
    """
    planned_pairs(plan, store)
    shared = all(group.examples.shared for group in plan.groups)
    return [] if shared else [f"export: pairs: {GROUP_EXAMPLES}"]


def write_export(plan: SweepPlan, store: Store, ledger: Ledger, failed: Container[int] = ()) -> int:
    """Write the folder of each pair next to the ledger, unless it would not change.

    Parameters
    ----------
    plan, store, ledger
        The sweep, its store, and the values, in the (claimed) folder of the results.
    failed
        Positions of the groups that have no values. A pair that needs one of them has no folder.

    Returns
    -------
    int
        Number of pairs without a folder.

    Raises
    ------
    SweepError
        The sweep has comparisons that are no pairs; see `planned_pairs`.
    LedgerError
        The ledger lacks a group of the plan, or cannot validate it.
    """
    pairs = planned_pairs(plan, store)
    cells: dict[int, list[tuple[PlannedPair, PairCell]]] = {}
    for pair in pairs:
        for cell in pair.cells:
            cells.setdefault(cell.group.position, []).append((pair, cell))
    points: dict[str, list[PairPoint]] = {pair.folder: [] for pair in pairs}
    devices: dict[str, str] = {}
    for group in plan.groups:
        if group.position in failed:
            continue
        values = ledger.read(group_identity(group, plan.config.computation))
        if values is None:
            raise LedgerError(f"{ledger.path} does not hold the group '{group.name}'")
        reasons = undefined_reasons(values, "biased", group.examples.n_examples)
        for pair, cell in cells[group.position]:
            points[pair.folder].append(_point(cell, values, reasons))
            devices[pair.folder] = str(values.provenance["device"])
    place = ledger.path.parent / PAIRS
    written = set()
    for pair in pairs:
        computed = sorted(points[pair.folder], key=lambda point: point.step)
        if len(computed) == len(pair.cells):
            files = result_files(pair.config, _result(pair, computed, devices[pair.folder]))
            where = "export: pairs"
            write_folder(place / pair.folder, files, replace=True, known=FILES, where=where)
            written.add(place / pair.folder)
    for summary in place.glob(f"[!.]*/[!.]*/{SUMMARY}"):
        if summary.parent not in written:
            _remove_if_ours(summary.parent)
    return len(pairs) - len(written)


def _point(cell: PairCell, values: GroupValues, undefined: Mapping[int, str]) -> PairPoint:
    reasons = {
        position: undefined[member]
        for position, member in enumerate((cell.first, cell.second))
        if member in undefined
    }
    cka = float(values.matrices["biased"][cell.first, cell.second])
    return PairPoint(cell.step, cka, undefined_text(reasons))


def _result(pair: PlannedPair, points: Sequence[PairPoint], device: str) -> PairResult:
    last = pair.cells[-1]
    examples = last.group.examples
    return PairResult(
        points=points,
        n_examples=examples.n_examples,
        last_steps=pair.last_steps,
        dropped=(examples.rows_dropped[last.first], examples.rows_dropped[last.second]),
        device=device,
        program=PROGRAM,
        notes=[] if examples.shared else [GROUP_EXAMPLES],
    )


def _remove_if_ours(folder: Path) -> None:
    """Remove the folder of a pair that an earlier run wrote, and its parent if it was the last."""
    try:
        program = json.loads((folder / SUMMARY).read_bytes())["program"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if program == PROGRAM and {path.name for path in folder.iterdir()} <= FILES:
        with write_errors(folder, "cannot be removed"):
            shutil.rmtree(folder)
            if not any(folder.parent.iterdir()):
                folder.parent.rmdir()
