"""The files of a sweep, all made from its ledger: results.csv, matrices/, figures/."""

from __future__ import annotations

import csv
import hashlib
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcka.core import Comparison
from fastcka.core.heatmap import draw_heatmap, save_png
from fastcka.errors import LedgerError, MissingExtraError
from fastcka.files import replaced_file
from fastcka.sweep.folder import FIGURES, MATRICES, RESULTS
from fastcka.sweep.labels import KEY_FIELDS
from fastcka.sweep.ledger import GroupValues, Ledger, content_digest, group_identity
from fastcka.sweep.table import group_rows, header

if TYPE_CHECKING:
    from collections.abc import Container
    from pathlib import Path

    from numpy.typing import NDArray

    from fastcka.core.estimators import Estimator
    from fastcka.sweep.group import GroupPlan
    from fastcka.sweep.plan import SweepPlan

_OURS = re.compile(r"\d{4,}_.*\.(npz|png)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class GroupFiles:
    """The files of one group, relative to the output folder.

    Attributes
    ----------
    identity, provenance
        Of the values in the ledger.
    fingerprint
        Tells whether files of an earlier run still show what they should.
    undefined
        Number of comparisons without a value.
    """

    identity: str
    provenance: dict[str, Any]
    fingerprint: str
    matrix: str
    figure: str | None
    undefined: int


@dataclass(slots=True)
class Exports:
    """What was written.

    Attributes
    ----------
    groups
        The files of each group by its position in the plan; a group that failed has none.
    results_digest
        BLAKE2b of ``results.csv``.
    figures_left_out
        Why there are no figures, or None.
    """

    groups: dict[int, GroupFiles] = field(default_factory=dict)
    results_digest: str = ""
    figures_left_out: str | None = None


def to_comparison(group: GroupPlan, values: GroupValues, estimator: Estimator) -> Comparison:
    """Return a group's values from the ledger as the core's result, with the plan's labels."""
    return Comparison(
        labels=tuple(r.labels for r in group.representations),
        estimator=estimator,
        n_examples=group.n_examples,
        biased=values.cka_biased,
        unbiased=values.cka_unbiased,
        hsic_biased=values.hsic_biased,
        hsic_unbiased=values.hsic_unbiased,
        pairs=group.pairs,
        provenance=values.provenance,
        undefined=undefined_reasons(values, estimator),
    )


def undefined_reasons(values: GroupValues, estimator: Estimator) -> dict[int, str]:
    """Return position -> why the similarities of that representation are NaN.

    From the values, not from the run that made them: it may have asked for the other estimator,
    and a self-HSIC can be positive under one and not under the other.
    """
    cka = values.cka_biased if estimator == "biased" else values.cka_unbiased
    hsic = values.hsic_biased if estimator == "biased" else values.hsic_unbiased
    reasons = {}
    for at in np.flatnonzero(np.isnan(np.diagonal(cka))).tolist():
        if values.hsic_biased[at, at] == 0:
            reasons[at] = "zero variance: no feature varies over the examples"
        else:
            reasons[at] = f"its {estimator} self-HSIC ({hsic[at, at]:.3g}) is not above rounding"
    return reasons


def write_exports(
    plan: SweepPlan,
    ledger: Ledger,
    output: Path,
    before: dict[str, str],
    failed: Container[int] = (),
) -> Exports:
    """Write every file from the ledger, which must hold every group of ``plan`` that did not fail.

    Parameters
    ----------
    plan, ledger, output
        What was asked for, the values, and the (claimed) folder.
    before
        File -> fingerprint of an earlier run: such files are kept where nothing has changed.
    failed
        Positions of the groups that have no values and are left out.

    Raises
    ------
    LedgerError
        The ledger lacks a group of the plan, or cannot validate it.
    """
    exports = Exports()
    for folder in (MATRICES, FIGURES):
        (output / folder).mkdir(exist_ok=True)
    with (
        replaced_file(output / RESULTS) as beside,
        beside.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header(plan))
        for group in plan.groups:
            if group.position in failed:
                continue
            identity = group_identity(group, plan.config.precision)
            values = ledger.read(identity)
            if values is None:
                raise LedgerError(f"{ledger.path} does not hold the group '{group.name}'")
            comparison = to_comparison(group, values, plan.config.estimator)
            writer.writerows(group_rows(group, comparison, plan.factors))
            exports.groups[group.position] = _write_group(
                group, comparison, identity, output, before, exports
            )
    with (output / RESULTS).open("rb") as file_bytes:
        exports.results_digest = hashlib.file_digest(file_bytes, hashlib.blake2b).hexdigest()
    _remove_stale(output, exports)
    return exports


def _write_group(
    group: GroupPlan,
    comparison: Comparison,
    identity: str,
    output: Path,
    before: dict[str, str],
    exports: Exports,
) -> GroupFiles:
    matrix = f"{MATRICES}/{group.file_stem}.npz"
    figure = f"{FIGURES}/{group.file_stem}.png"
    pairs = comparison.pairs.tolist()
    fingerprint = content_digest(
        [identity, comparison.estimator, comparison.labels, comparison.provenance, pairs]
    )

    def stands(name: str) -> bool:
        return before.get(name) == fingerprint and (output / name).is_file()

    if not stands(matrix):
        comparison.save(output / matrix)  # all or nothing by itself
    if not stands(figure) and exports.figures_left_out is None:
        try:
            _draw(group, comparison, output / figure)
        except MissingExtraError as error:
            exports.figures_left_out = str(error)
    cka = comparison.cka[group.pairs[:, 0], group.pairs[:, 1]]
    return GroupFiles(
        identity=identity,
        provenance=comparison.provenance,
        fingerprint=fingerprint,
        matrix=matrix,
        figure=figure if stands(figure) or exports.figures_left_out is None else None,
        undefined=int(np.isnan(cka).sum()),
    )


def _draw(group: GroupPlan, comparison: Comparison, path: Path) -> None:
    # A label of every factor would leave no room for the matrix. The parts of the key that vary in
    # the group tell its representations apart, and the title names what they share.
    keys = [r.key for r in group.representations]
    varying = [at for at in range(3) if len({key[at] for key in keys}) > 1]
    labels = tuple({KEY_FIELDS[at]: key[at] for at in varying} for key in keys)
    blank = not_compared(group)
    figure = draw_heatmap(
        np.where(blank, np.nan, comparison.cka),
        replace(comparison, labels=labels).names,
        title=group.name,
        estimator=comparison.estimator,
        n_examples=comparison.n_examples,
        blank=blank if blank.any() else None,
        notes=["grey: not compared in this sweep"] if blank.any() else (),
    )
    with replaced_file(path) as beside:
        save_png(figure, beside)


def not_compared(group: GroupPlan) -> NDArray[np.bool_]:
    """Return the cells, (M, M), that are no comparison of the sweep; the diagonal is none of them.

    A group is computed whole, so that the ledger has values for these as well.
    """
    count = len(group.representations)
    blank = ~np.eye(count, dtype=bool)
    first, second = group.pairs.T
    blank[first, second] = blank[second, first] = False
    return blank


def _remove_stale(output: Path, exports: Exports) -> None:
    """Remove the matrices and figures of groups that are no longer in the plan."""
    written = exports.groups.values()
    current = {name for files in written for name in (files.matrix, files.figure)}
    for folder in (MATRICES, FIGURES):
        for file in (output / folder).iterdir():
            if _OURS.fullmatch(file.name) and f"{folder}/{file.name}" not in current:
                file.unlink()
