"""Clustering of representations that were all compared with each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from fastcka.core import Comparison
from fastcka.core.estimators import Estimator
from fastcka.errors import MissingExtraError
from fastcka.report.pairs import Key, Pairs, keys_of, model_names
from fastcka.report.roles import Roles
from fastcka.report.slices import Cut
from fastcka.stats import PairTable

_MOST_SETS = 24
_MOST_MEMBERS = 1_000
"""With more, a matrix of pairs is larger than the page can show."""


@dataclass(frozen=True, eq=False)
class Clustered:
    """Representations that all have a similarity with each other, and their clustering.

    Attributes
    ----------
    title
        Which representations these are.
    keys, labels
        M representations, and the labels of each as field -> label.
    comparison
        Their similarities.
    merges
        (M-1, 4) linkage matrix of scipy: average linkage of the angular distance.
    leaves
        The positions of the representations in the order of the tree.
    """

    title: str
    keys: tuple[Key, ...]
    labels: tuple[dict[str, str | None], ...]
    comparison: Comparison
    merges: NDArray[np.float64]
    leaves: tuple[int, ...]


def clusters_of(cut: Cut, pairs: Pairs, roles: Roles) -> list[Clustered]:
    """Return the sets of representations at the last step that can be clustered.

    All representations of the step, if every two were compared, then the models at each layer;
    none without scipy.
    """
    where, whole = pairs.at_last_step()
    parts = [(f"all representations · {where}", whole)] if pairs.varying != ("model",) else []
    slices = (*cut.whole, *cut.slices)
    parts += [(part.title, part.table) for part in slices if part.step in cut.steps[-1:]]
    try:
        sets = [_clustered(title, table, roles) for title, table in parts[:_MOST_SETS]]
    except MissingExtraError:
        return []
    return [each for each in sets if each is not None]


def cluster_ranks(keys: Sequence[Key], sets: Sequence[Clustered]) -> list[int] | None:
    """Return the position of each representation in the order of the trees; None without trees.

    The order is that of the last step, so that the cells of all steps are comparable.
    """
    if not sets:
        return None
    ranks: dict[tuple[str, str], int] = {}
    for each in sets:
        for leaf in each.leaves:
            model, _, layer = each.keys[leaf]
            ranks.setdefault((model, layer), len(ranks))
    return [ranks.get((model, layer), len(ranks)) for model, _, layer in keys]


def _clustered(title: str, table: PairTable, roles: Roles) -> Clustered | None:
    sides = [keys_of(table.a), keys_of(table.b)]
    keys = list(dict.fromkeys(sides[0] + sides[1]))
    count = len(keys)
    if not 3 <= count <= _MOST_MEMBERS or np.isfinite(table.cka).sum() != count * (count - 1) // 2:
        return None
    position = {key: i for i, key in enumerate(keys)}
    first, second = ([position[key] for key in side] for side in sides)
    matrix = np.eye(count)
    matrix[first, second] = matrix[second, first] = table.cka
    fields = [name for name in ("model", "layer", "step") if len(table.labels(name)) > 1]
    names, models = model_names(table, roles), table.models()
    shown = {"model": [names[model] for model, _, _ in keys]}
    shown |= {"layer": [layer for _, _, layer in keys], "step": [step for _, step, _ in keys]}
    comparison = Comparison(
        labels=tuple({name: shown[name][i] for name in fields} for i in range(count)),
        estimator=cast("Estimator", table.estimator or "unbiased"),
        n_examples=int(table.n_examples.min()),
        biased=matrix,
        unbiased=matrix,
        hsic_biased=np.full_like(matrix, np.nan),
        hsic_unbiased=np.full_like(matrix, np.nan),
        feature_corrected=matrix,
        pairs=np.column_stack([first, second]),
    )
    merges = comparison.cluster()
    from scipy.cluster.hierarchy import leaves_list

    return Clustered(
        f"{title} ({count})",
        tuple(keys),
        tuple({**models[key[0]], "model": key[0], "layer": key[2]} for key in keys),
        comparison,
        merges,
        tuple(leaves_list(merges).tolist()),
    )
