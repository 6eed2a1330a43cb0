"""The heatmaps of a sweep, drawn when its results are written."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fastcka.errors import MissingExtraError
from fastcka.files import make_folder, replaced_stream
from fastcka.heatmap import draw_heatmap, save_png
from fastcka.sweep.planning.folder import FIGURES
from fastcka.sweep.question.labels import KEY_FIELDS
from fastcka.sweep.results.exports import is_current, read_comparison

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from fastcka.core import Comparison
    from fastcka.sweep.ledger.ledger import Ledger
    from fastcka.sweep.planning.group import GroupPlan
    from fastcka.sweep.planning.plan import SweepPlan
    from fastcka.sweep.results.exports import Exports


def draw_figures(
    plan: SweepPlan, ledger: Ledger, output: Path, before: Mapping[str, str], exports: Exports
) -> None:
    """Draw the heatmap of every group, and enter its path, or a reason without one, in ``exports``.

    Parameters
    ----------
    before
        File -> fingerprint, from an earlier run. Files with an unchanged fingerprint are kept.
    """
    make_folder(output / FIGURES)
    for group in plan.groups:
        files = exports.groups.get(group.position)
        if files is None:
            continue
        figure = f"{FIGURES}/{group.file_stem}.png"
        if not is_current(figure, files, output, before):
            if exports.figures_left_out is not None:
                continue
            try:
                _draw(group, read_comparison(group, plan, ledger), output / figure)
            except MissingExtraError as error:
                exports.figures_left_out = str(error)
                continue
        exports.groups[group.position] = replace(files, figure=figure)


def _draw(group: GroupPlan, comparison: Comparison, path: Path) -> None:
    # Labels with every factor would leave no room for the matrix. The parts of the key that vary in
    # the group distinguish its representations, and the title names the rest.
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
    with replaced_stream(path) as file:
        save_png(figure, file)


def not_compared(group: GroupPlan) -> NDArray[np.bool_]:
    """Return a mask, (M, M), of the cells off the diagonal that the sweep does not compare.

    The ledger has values for these cells too, because a group is computed as a whole.
    """
    count = len(group.representations)
    blank = ~np.eye(count, dtype=bool)
    first, second = group.pairs.T
    blank[first, second] = blank[second, first] = False
    return blank
