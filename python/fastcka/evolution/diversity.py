"""How many directions and clusters the filters of a layer have, compared with permuted weights.

A matrix has one row per filter (output unit) and one column per weight. Its singular values are
s_i.

effective rank         exp(-sum p_i log p_i), p_i = s_i / sum s     Roy and Vetterli 2007
participation ratio    (sum s_i^2)^2 / sum s_i^4                    Gao et al. 2017
silhouette             of k-means clusters of the rows, for each k  Rousseeuw 1987

The null distribution comes from permuting all entries of the matrix, which destroys the structure
of rows and columns. k-means finds k clusters in any data, so a silhouette must be compared with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcka.errors import MissingExtraError

CLUSTERS = (2, 3, 4, 6, 8)
#: Largest number of rows for k-means and silhouettes, whose time is quadratic in it. Of more rows,
#: a random sample is used.
MOST_CLUSTERED = 512

Matrix = NDArray[np.float64]


def effective_rank(matrix: Matrix) -> float:
    """Return the exponential of the entropy of the singular values; NaN for a zero matrix."""
    return _effective_rank(np.linalg.svd(matrix, compute_uv=False))


def participation_ratio(matrix: Matrix) -> float:
    """Return (sum s^2)^2 / sum s^4 for the singular values s; NaN for a zero matrix."""
    return _participation_ratio(np.linalg.svd(matrix, compute_uv=False))


def silhouettes(rows: Matrix, clusters: tuple[int, ...], seed: int) -> list[float]:
    """Return the mean silhouette (-1 to 1) of k-means clusters of the rows, for each k.

    Distances are Euclidean. NaN if there are at most k rows, or fewer than k distinct rows.
    """
    try:
        from sklearn import config_context
        from sklearn.cluster import KMeans
        from sklearn.metrics import pairwise_distances, silhouette_score
    except ImportError as error:
        raise MissingExtraError.of("the silhouette", "scikit-learn", "torch") from error
    distinct = len(np.unique(rows, axis=0))
    distances = pairwise_distances(rows)
    np.fill_diagonal(distances, 0)
    scores = []
    for k in clusters:
        if distinct < k or len(rows) <= k:
            scores.append(float("nan"))
            continue
        # The null needs thousands of these calls, and checking the input would dominate their time.
        with config_context(assume_finite=True, skip_parameter_validation=True):
            labels = KMeans(k, n_init=1, random_state=seed).fit_predict(rows)
            scores.append(float(silhouette_score(distances, labels, metric="precomputed")))
    return scores


def diversity(matrix: Matrix, *, permutations: int, seed: int = 0) -> dict[str, Any]:
    """Return effective rank, participation ratio and silhouettes of a matrix, with their nulls.

    Parameters
    ----------
    matrix
        (n_filters, n_weights) float64, finite.
    permutations
        Number of permutations for the null, which is given as mean, lowest and highest value.
    seed
        Seed of the permutations and of k-means.

    Returns
    -------
    dict
        ``effective_rank``, ``participation_ratio``: {"value", "null": {"mean", "low", "high"}};
        ``silhouette``: {"clusters": [k, ...], "value": [...], "null": {"mean": [...], "low": ...,
        "high": ...}, "n_filters"}. Undefined numbers are NaN.
    """
    rng = np.random.default_rng(seed)
    rows = np.arange(len(matrix))
    if len(rows) > MOST_CLUSTERED:
        rows = np.sort(rng.choice(len(rows), MOST_CLUSTERED, replace=False))
    clusters = tuple(k for k in CLUSTERS if k < len(rows))

    def measures(one: Matrix) -> Matrix:
        values = np.linalg.svd(one, compute_uv=False)
        scores = silhouettes(one[rows], clusters, seed)
        return np.array([_effective_rank(values), _participation_ratio(values), *scores])

    observed = measures(matrix)
    null = np.array(
        [
            measures(rng.permutation(matrix.ravel()).reshape(matrix.shape))
            for _ in range(permutations)
        ]
    )
    null_of = {"mean": null.mean(axis=0), "low": null.min(axis=0), "high": null.max(axis=0)}
    return {
        **{
            name: {
                "value": float(observed[i]),
                "null": {key: float(values[i]) for key, values in null_of.items()},
            }
            for i, name in enumerate(("effective_rank", "participation_ratio"))
        },
        "silhouette": {
            "clusters": list(clusters),
            "value": observed[2:].tolist(),
            "null": {key: values[2:].tolist() for key, values in null_of.items()},
            "n_filters": len(rows),
        },
    }


def _effective_rank(values: NDArray[np.floating[Any]]) -> float:
    total = values.sum()
    if total == 0:
        return float("nan")
    shares = values / total
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _participation_ratio(values: NDArray[np.floating[Any]]) -> float:
    squares = values**2
    if squares.sum() == 0:
        return float("nan")
    return float(squares.sum() ** 2 / (squares**2).sum())
