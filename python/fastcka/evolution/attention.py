"""What attention weights say of heads: how widely each looks, and how differently they look."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def attention_facts(entropy: NDArray[np.float64], mean_map: NDArray[np.float64]) -> dict[str, Any]:
    """Entropy and specialization of the heads of one layer.

    Parameters
    ----------
    entropy
        (n_examples, n_heads) of the attention over the keys, in nats, the mean over the queries.
    mean_map
        (n_heads, n_queries, n_keys) attention, the mean over the examples; a query that no example
        has is NaN.

    Returns
    -------
    dict
        ``entropy``: for each head the mean over the examples; ``entropy_of_uniform``: ln n_keys,
        that of looking everywhere alike; ``specialization``: see `specialization`;
        ``mean_map``: as given, to six digits.
    """
    return {
        "entropy": entropy.mean(axis=0).tolist(),
        "entropy_of_uniform": float(np.log(mean_map.shape[2])),
        "specialization": specialization(mean_map),
        "mean_map": mean_map.round(6).tolist(),
    }


def specialization(mean_map: NDArray[np.float64]) -> float:
    """How differently the heads look, by where each looks on average over the examples.

    The Jensen-Shannon divergence between the heads' maps (Lin 1991, IEEE Transactions on
    Information Theory 37: the entropy of their mean minus the mean of their entropies) over
    ln n_heads, averaged over the queries: 0 if all look at the same keys, 1 if no two share a key.

    Parameters
    ----------
    mean_map
        (n_heads, n_queries, n_keys); queries that are NaN are left out.

    Returns
    -------
    float
        NaN for a single head.
    """
    heads = len(mean_map)
    if heads == 1:
        return float("nan")
    real = mean_map[:, np.isfinite(mean_map).all(axis=(0, 2))]
    divergence = entropy_of(real.mean(axis=0)) - entropy_of(real).mean(axis=0)
    return float(divergence.mean() / np.log(heads))


def entropy_of(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """-sum p ln p over the last axis, in nats, where 0 ln 0 is 0."""
    logarithms = np.log(weights, out=np.zeros_like(weights), where=weights > 0)
    return np.asarray(-(weights * logarithms).sum(axis=-1))
