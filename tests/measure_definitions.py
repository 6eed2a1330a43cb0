"""Definitions of measures, slow and obvious. They share no code with the package."""

from __future__ import annotations

import numpy as np


def rbf_cka(x, y, rule="median", scale=1.0):
    """Biased CKA from whole kernel matrices, centred by H = I - 11'/n."""
    h = np.eye(len(x)) - 1 / len(x)
    kernels = []
    for values in (x, y):
        squares = ((values[:, None] - values) ** 2).sum(2)
        of_pairs = [squares[a, b] for a in range(len(x)) for b in range(a)]
        if rule == "median":
            width = np.median(np.sqrt(of_pairs))
        elif rule == "median_squared":
            width = np.sqrt(np.median(of_pairs))
        else:
            width = rule
        kernels.append(h @ np.exp(-squares / (2 * (scale * width) ** 2)) @ h)
    k, m = kernels
    return np.trace(k @ m) / np.sqrt(np.trace(k @ k) * np.trace(m @ m))


def cosines(x):
    x = x / np.sqrt((x**2).sum(1))[:, None]
    return x @ x.T


def neighbor_mask(x, k):
    """Whether b is one of the k nearest of a; of equal ones, those with lower positions."""
    similar = cosines(x)
    np.fill_diagonal(similar, -2)
    order = np.argsort(-similar, axis=1, kind="stable")
    mask = np.zeros(similar.shape)
    np.put_along_axis(mask, order[:, :k], 1, axis=1)
    return mask


def mutual_knn(x, y, k):
    first, second = neighbor_mask(x, k), neighbor_mask(y, k)
    shares = [
        len(set(np.flatnonzero(p)) & set(np.flatnonzero(q))) / k
        for p, q in zip(first, second, strict=True)
    ]
    return np.mean(shares)


def cknna(x, y, k):
    """Huh et al. 2024, appendix A."""

    def align(x, y):
        both, kx, ky = neighbor_mask(x, k) * neighbor_mask(y, k), cosines(x), cosines(y)
        means = kx.mean(1)[:, None], ky.mean(1)[:, None]
        return (both * (kx - means[0]) * (ky - means[1])).sum()

    return align(x, y) / np.sqrt(align(x, x) * align(y, y))


def cknna_reference(x, y, k):
    """The formula of the authors' code, with whole masked matrices."""

    def hsic(x, y):
        n, mask = len(x), neighbor_mask(x, k) * neighbor_mask(y, k)
        a, b = mask * cosines(x), mask * cosines(y)
        total = (a * b.T).sum() + a.sum() * b.sum() / ((n - 1) * (n - 2))
        return (total - 2 / (n - 2) * (a @ b).sum()) / (n * (n - 3))

    return hsic(x, y) / (np.sqrt(hsic(x, x) * hsic(y, y)) + 1e-6)


def centered(x):
    return x - x.mean(0)


def root(matrix):
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def bures(x, y):
    """The nuclear norm of K^(1/2) L^(1/2) for centred Gram matrices of trace 1."""
    k, m = (centered(v) @ centered(v).T for v in (x, y))
    both = root(k / np.trace(k)) @ root(m / np.trace(m))
    return np.linalg.svd(both, compute_uv=False).sum()


def principal(x, share):
    """The fewest principal components whose variances add up to a share, as columns."""
    values, vectors = np.linalg.eigh(np.cov(x.T))
    values, vectors = values[::-1], vectors[:, ::-1]
    count = 1
    while values[:count].sum() < share * values.sum():
        count += 1
    return centered(x) @ vectors[:, :count]


def canonical(x, y):
    """Canonical correlations and the variates of x, from the covariances (Hotelling 1936)."""
    x, y = centered(x), centered(y)
    sxx, syy, sxy = x.T @ x, y.T @ y, x.T @ y
    product = np.linalg.inv(sxx) @ sxy @ np.linalg.inv(syy) @ sxy.T
    values, vectors = np.linalg.eig(product)
    order = np.argsort(-values.real)[: min(x.shape[1], y.shape[1])]
    variates = x @ vectors.real[:, order]
    return np.sqrt(values.real[order]), variates / np.sqrt((variates**2).sum(0))


def svcca(x, y, share):
    return canonical(principal(x, share), principal(y, share))[0].mean()


def pwcca(x, y):
    """Morcos et al. 2018: weighted by x."""
    correlations, variates = canonical(x, y)
    weights = np.array([sum(abs(h @ column) for column in centered(x).T) for h in variates.T])
    return weights @ correlations / weights.sum()
