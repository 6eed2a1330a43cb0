"""Attention of the heads of a layer: entropy, and how much the heads differ."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def attention_facts(entropy: NDArray[np.float64], mean_map: NDArray[np.float64]) -> dict[str, Any]:
    """Entropy and specialization of the heads of one layer.

    Parameters
    ----------
    entropy
        (n_examples, n_heads) entropy of the attention over the keys, in nats, averaged over the
        queries.
    mean_map
        (n_heads, n_queries, n_keys) attention, averaged over the examples. A query that is padding
        in all examples is NaN.

    Returns
    -------
    dict
        ``entropy``: for each head, the mean over the examples. ``entropy_of_uniform``: ln n_keys,
        the entropy of uniform attention. ``specialization``: see `specialization`. ``mean_map``:
        the argument, rounded to six decimals.
    """
    return {
        "entropy": entropy.mean(axis=0).tolist(),
        "entropy_of_uniform": float(np.log(mean_map.shape[2])),
        "specialization": specialization(mean_map),
        "mean_map": mean_map.round(6).tolist(),
    }


def specialization(mean_map: NDArray[np.float64]) -> float:
    """Return how much the mean attention maps of the heads differ, from 0 to 1.

    This is the Jensen-Shannon divergence of the heads' maps (the entropy of their mean minus the
    mean of their entropies: Lin 1991, IEEE Transactions on Information Theory 37), divided by
    ln n_heads and averaged over the queries. It is 0 if all heads attend to the same keys equally,
    and 1 if no two heads attend to the same key.

    Parameters
    ----------
    mean_map
        (n_heads, n_queries, n_keys); NaN queries are ignored.

    Returns
    -------
    float
        NaN for a single head.
    """
    heads = len(mean_map)
    if heads == 1:
        return float("nan")
    finite = mean_map[:, np.isfinite(mean_map).all(axis=(0, 2))]
    divergence = entropy_of(finite.mean(axis=0)) - entropy_of(finite).mean(axis=0)
    return float(divergence.mean() / np.log(heads))


def entropy_of(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return -sum p ln p over the last axis, in nats; 0 ln 0 is 0."""
    logarithms = np.log(weights, out=np.zeros_like(weights), where=weights > 0)
    return np.asarray(-(weights * logarithms).sum(axis=-1))
