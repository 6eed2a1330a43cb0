"""Write the results of a sweep from its ledger: results.csv, results.parquet and matrices/."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcka.core import Comparison
from fastcka.core.estimators import nan_reasons
from fastcka.core.inference.corrected import reasons as corrected_reasons
from fastcka.core.inference.fdr import q_values
from fastcka.core.inference.moments import Moments
from fastcka.digests import file_digest, json_digest
from fastcka.errors import LedgerError
from fastcka.files import make_folder, remove_file, replaced_file
from fastcka.sweep.ledger.ledger import Ledger
from fastcka.sweep.ledger.values import GroupValues, group_identity
from fastcka.sweep.planning.folder import FIGURES, MATRICES, PARQUET, RESULTS
from fastcka.sweep.results.parquet import parquet_table
from fastcka.sweep.results.table import group_rows, header, write_rows

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from fastcka.core.estimators import Estimator, HsicEstimator
    from fastcka.sweep.planning.group import GroupPlan
    from fastcka.sweep.planning.plan import SweepPlan
    from fastcka.sweep.question.config import SweepConfig

_OURS = re.compile(r"\d{4,}_.*\.(npz|png)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class GroupFiles:
    """The files of one group, relative to the output folder.

    Attributes
    ----------
    identity, provenance
        Identity and provenance of the values in the ledger.
    fingerprint
        Digest of the content; a file of an earlier run with the same fingerprint is current.
    figure
        Path of the heatmap; None until it is drawn.
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
    """The files that were written.

    Attributes
    ----------
    groups
        The files of each group by its position in the plan; a group that failed has none.
    results_digest
        BLAKE2b of ``results.csv``.
    parquet
        Name of the Parquet file with the same rows; None without pyarrow.
    figures_left_out
        Why there are no figures, or None.
    """

    groups: dict[int, GroupFiles] = field(default_factory=dict)
    results_digest: str = ""
    parquet: str | None = None
    figures_left_out: str | None = None


def to_comparison(group: GroupPlan, values: GroupValues, config: SweepConfig) -> Comparison:
    """Return a group's values as a `Comparison` with the labels of the plan."""
    return Comparison(
        labels=tuple(r.labels for r in group.representations),
        estimator=config.estimator,
        n_examples=group.n_examples,
        pairs=group.pairs,
        provenance=values.provenance,
        undefined=undefined_reasons(
            values,
            config.estimator,
            group.examples.n_examples,
            [r.n_features for r in group.representations],
        ),
        moments=Moments.of_arrays(values.moments),
        inference=config.inference,
        measures=values.measures,
        **values.matrices,
    )


def undefined_reasons(
    values: GroupValues,
    estimator: Estimator,
    n_examples: int,
    n_features: Sequence[int] = (),
) -> dict[int, str]:
    """Return position -> why the similarities of that representation are NaN.

    The reasons are derived from the values and not taken from the run that computed them, which may
    have used the other estimator: a self-HSIC can be positive by one estimator and not by the
    other. Only "feature_corrected" needs ``n_features``.
    """
    matrices = values.matrices
    of_hsic: HsicEstimator = "biased" if estimator == "biased" else "unbiased"
    reasons = nan_reasons(
        of_hsic,
        cka=matrices[of_hsic],
        hsic_biased=matrices["hsic_biased"],
        hsic_unbiased=matrices["hsic_unbiased"],
        n_examples=n_examples,
        products=values.provenance.get("products", ""),
    )
    if estimator == "feature_corrected":
        return corrected_reasons(reasons, matrices["feature_corrected"], n_features)
    return reasons


def write_results(
    plan: SweepPlan,
    ledger: Ledger,
    output: Path,
    before: Mapping[str, str],
    failed: Container[int] = (),
) -> Exports:
    """Write the table and the matrices of every group of ``plan`` that did not fail.

    Without pyarrow there is no ``results.parquet``, and one of an earlier run is removed.

    Parameters
    ----------
    plan, ledger, output
        The plan, its values, and the locked output folder.
    before
        File -> fingerprint, from an earlier run. Files with an unchanged fingerprint are kept.
    failed
        Positions of the groups that have no values and are left out.

    Raises
    ------
    LedgerError
        The ledger lacks a group of the plan, or the group's checksum is wrong.
    """
    exports = Exports()
    make_folder(output / MATRICES)
    with (
        replaced_file(output / RESULTS) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
        parquet_table(plan, output / PARQUET) as parquet,
    ):
        write_rows(file, [header(plan)])
        groups = [group for group in plan.groups if group.position not in failed]
        of_all = _q_values(groups, plan, ledger)
        for group in groups:
            comparison = read_comparison(group, plan, ledger)
            of_group = None if of_all is None else of_all[group.position]
            write_rows(file, group_rows(group, comparison, plan.factors, of_group))
            if parquet is not None:
                parquet.write(group, comparison, of_group)
            files = _files_of(group, plan, comparison)
            if not is_current(files.matrix, files, output, before):
                comparison.save(output / files.matrix)  # all or nothing
            exports.groups[group.position] = files
    exports.parquet = None if parquet is None else PARQUET
    with (output / RESULTS).open("rb") as file_bytes:
        exports.results_digest = file_digest(file_bytes)
    return exports


def _q_values(
    groups: Sequence[GroupPlan], plan: SweepPlan, ledger: Ledger
) -> dict[int, NDArray[np.float64]] | None:
    """Return position of a group -> the q-values of its pairs among all; None without inference."""
    if plan.config.inference is None:
        return None
    parts = [np.empty(0)]
    for group in groups:
        p = read_comparison(group, plan, ledger).p_value
        first, second = group.pairs.T
        parts.append(np.full(len(first), np.nan) if p is None else p[first, second])
    ends = np.cumsum([len(part) for part in parts])[1:-1]
    divided = np.split(q_values(np.concatenate(parts)), ends) if groups else []
    return {group.position: part for group, part in zip(groups, divided, strict=True)}


def read_comparison(group: GroupPlan, plan: SweepPlan, ledger: Ledger) -> Comparison:
    """Return a group's values from the ledger; raise `LedgerError` if it lacks them."""
    values = ledger.read(group_identity(group, plan.config.computation))
    if values is None:
        raise LedgerError(f"{ledger.path} does not hold the group '{group.name}'")
    return to_comparison(group, values, plan.config)


def is_current(name: str, files: GroupFiles, output: Path, before: Mapping[str, str]) -> bool:
    """Return whether a file of an earlier run exists and is current."""
    return before.get(name) == files.fingerprint and (output / name).is_file()


def _files_of(group: GroupPlan, plan: SweepPlan, comparison: Comparison) -> GroupFiles:
    identity = group_identity(group, plan.config.computation)
    pairs = comparison.pairs.tolist()
    cka = comparison.cka[group.pairs[:, 0], group.pairs[:, 1]]
    return GroupFiles(
        identity=identity,
        provenance=comparison.provenance,
        fingerprint=json_digest(
            [
                identity,
                comparison.estimator,
                comparison.inference and comparison.inference.to_dict(),
                comparison.labels,
                comparison.provenance,
                pairs,
            ]
        ),
        matrix=f"{MATRICES}/{group.file_stem}.npz",
        figure=None,
        undefined=int(np.isnan(cka).sum()),
    )


def remove_stale(output: Path, exports: Exports) -> None:
    """Remove the matrices and figures of groups that are no longer in the plan."""
    written = exports.groups.values()
    current = {name for files in written for name in (files.matrix, files.figure)}
    for folder in (MATRICES, FIGURES):
        for file in (output / folder).glob("*"):
            if _OURS.fullmatch(file.name) and f"{folder}/{file.name}" not in current:
                remove_file(file)
