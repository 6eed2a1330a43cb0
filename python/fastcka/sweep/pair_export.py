"""``export: pairs``: a folder for each pair of models, from the values in the ledger.

The folders are those that `fastcka pair` writes. Below ``pairs/`` of a sweep's output they are
always those of the sweep that ran last: what an earlier run left of other pairs is removed, and
what `fastcka pair` wrote of other pairs stays.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Final

from fastcka.errors import LedgerError
from fastcka.files import write_errors
from fastcka.pair.folder import write_folder
from fastcka.pair.results import FILES, SUMMARY, PairPoint, PairResult, result_files
from fastcka.sweep.exports import undefined_reasons
from fastcka.sweep.folder import PAIRS
from fastcka.sweep.ledger import GroupValues, Ledger, group_identity
from fastcka.sweep.pair_configs import OF_GROUP, PairCell, PlannedPair, planned_pairs

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence
    from pathlib import Path

    from fastcka.store import Store
    from fastcka.sweep.plan import SweepPlan

PROGRAM: Final = "fastcka run"


def write_pair_folders(
    plan: SweepPlan, store: Store, ledger: Ledger, failed: Container[int] = ()
) -> int:
    """Write the folder of each pair beside the ledger; those that would not change are left alone.

    Parameters
    ----------
    plan, store, ledger
        What was asked for, its store, and the values, in the (claimed) folder of the results.
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
        values = ledger.read(group_identity(group, plan.config.precision))
        if values is None:
            raise LedgerError(f"{ledger.path} does not hold the group '{group.name}'")
        reasons = undefined_reasons(values, "biased")
        for pair, cell in cells[group.position]:
            points[pair.folder].append(_point(cell, values, reasons))
            devices[pair.folder] = str(values.provenance["device"])
    place = ledger.path.parent / PAIRS
    written = set()
    for pair in pairs:
        own = sorted(points[pair.folder], key=lambda point: point.step)
        if len(own) == len(pair.cells):
            files = result_files(pair.config, _result(pair, own, devices[pair.folder]))
            where = "export: pairs"
            write_folder(place / pair.folder, files, replace=True, known=FILES, where=where)
            written.add(place / pair.folder)
    for summary in place.glob(f"[!.]*/[!.]*/{SUMMARY}"):
        if summary.parent not in written:
            _remove_if_ours(summary.parent)
    return len(pairs) - len(written)


def _point(cell: PairCell, values: GroupValues, reasons: Mapping[int, str]) -> PairPoint:
    sides = (("exp1", cell.first), ("exp2", cell.second))
    why = "; ".join(f"{side}: {reasons[at]}" for side, at in sides if at in reasons)
    return PairPoint(cell.step, float(values.cka_biased[cell.first, cell.second]), why)


def _result(pair: PlannedPair, points: Sequence[PairPoint], device: str) -> PairResult:
    last = pair.cells[-1]
    examples = last.group.examples
    # The group's reasons do not say which of them each of its rows was left out for.
    reason = " or ".join(examples.dropped)
    counts = [examples.n_dropped[at] for at in (last.first, last.second)]
    dropped = [{reason: count} if count else {} for count in counts]
    return PairResult(
        points=points,
        n_examples=examples.n_examples,
        last_steps=pair.last_steps,
        dropped=(dropped[0], dropped[1]),
        device=device,
        program=PROGRAM,
        notes=[] if examples.shared else [OF_GROUP],
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
