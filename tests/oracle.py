"""Textbook definitions in float64, slow and obvious. They share no code with the package.

The formulas are those of the papers, with explicit products by H = I - 11'/n and traces.
`hsic_u_statistic` is the definition of HSIC_1 as a mean over quadruples of examples.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np


def gram(x):
    x = np.asarray(x).reshape(len(x), -1).astype(np.float64)
    # A common shift changes no centred Gram matrix, and avoids cancellation in float64.
    x = x - x.mean(axis=0)
    return x @ x.T


def hsic_biased(x, y):
    """Gretton et al. 2005, eq. 9: tr(K H L H) / (n-1)^2."""
    n = len(x)
    h = np.eye(n) - np.ones((n, n)) / n
    return np.trace(gram(x) @ h @ gram(y) @ h) / (n - 1) ** 2


def hsic_unbiased(x, y):
    """Song et al. 2012, eq. 5, with zeroed diagonals."""
    n = len(x)
    k, m = gram(x), gram(y)
    np.fill_diagonal(k, 0)
    np.fill_diagonal(m, 0)
    one = np.ones(n)
    total = (
        np.trace(k @ m)
        + (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
        - 2 / (n - 2) * (one @ k @ m @ one)
    )
    return total / (n * (n - 3))


def hsic_u_statistic(x, y):
    """HSIC_1 as the mean over ordered quadruples of distinct examples; for n <= 8."""
    n = len(x)
    k, m = gram(x), gram(y)
    values = [
        k[a, b] * (m[a, b] + m[c, d] - 2 * m[a, c]) for a, b, c, d in permutations(range(n), 4)
    ]
    return float(np.mean(values))


def cka(x, y, estimator):
    hsic = hsic_biased if estimator == "biased" else hsic_unbiased
    return hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y))


def cka_matrix(representations, estimator):
    """The same formulas with sums in place of traces, which avoid n^3 operations."""
    return cka_matrix_of_grams([gram(x) for x in representations], estimator)


def cka_matrix_of_grams(grams, estimator):
    """`cka_matrix` from Gram matrices, which stay unchanged."""
    n = len(grams[0])
    if estimator == "biased":
        grams = [k - k.mean(axis=0) for k in grams]
        for k in grams:
            k -= k.mean(axis=1)[:, None]
    else:
        grams = [k.copy() for k in grams]
        for k in grams:
            np.fill_diagonal(k, 0)
        sums = [k.sum(axis=1) for k in grams]
    m = len(grams)
    hsic = np.empty((m, m))
    for i in range(m):
        for j in range(i, m):
            value = np.vdot(grams[i], grams[j])
            if estimator == "unbiased":
                value += sums[i].sum() * sums[j].sum() / ((n - 1) * (n - 2))
                value -= 2 / (n - 2) * (sums[i] @ sums[j])
            hsic[i, j] = hsic[j, i] = value
    norms = np.sqrt(np.diag(hsic))
    return hsic / np.outer(norms, norms)


def cka_matrix_about_median(xs, estimator):
    """CKA from Gram matrices about the medians of the columns, which far examples do not move."""
    n = len(xs[0])
    grams = []
    for x in xs:
        x = x.astype(np.float64)
        x = x - np.median(x, axis=0)
        k = x @ x.T
        if estimator == "biased":
            means = k.mean(axis=0)
            k = k - means - means[:, None] + k.mean()
        else:
            np.fill_diagonal(k, 0)
            means = k.sum(axis=0) / (n - 2)
            k = k - means - means[:, None] + k.sum() / ((n - 1) * (n - 2))
            np.fill_diagonal(k, 0)
        grams.append(k.ravel())
    hsic = np.array([[a @ b for b in grams] for a in grams])
    return hsic / np.sqrt(np.outer(np.diag(hsic), np.diag(hsic)))


def centered_grams(x):
    """The two Gram matrices whose normalised products are the biased and the unbiased CKA."""
    n = len(x)
    x = x - np.median(x, axis=0)
    k = x @ x.T
    h = np.eye(n) - 1 / n
    u = k - np.diag(np.diag(k))
    rows = u.sum(1) / (n - 2)
    u = u - rows[:, None] - rows + u.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(u, 0)
    return {"biased": h @ k @ h, "unbiased": u}


def permuted_cka(xs, orders, estimator):
    """Return CKA of each pair, (K, pairs), with the examples of the second permuted."""
    grams = [centered_grams(np.float64(x))[estimator] for x in xs]
    grams = [gram / np.linalg.norm(gram) for gram in grams]
    upper = np.triu_indices(len(xs), 1)
    values = []
    for order in orders:
        permuted = np.array([gram[np.ix_(order, order)].ravel() for gram in grams])
        values.append((np.array([gram.ravel() for gram in grams]) @ permuted.T)[upper])
    return np.array(values)


def third_moments(x):
    """Normalised sums of third order of the U-centred Gram matrix and of the centred diagonal."""
    grams = centered_grams(x.astype(np.float64))
    k, u = np.diag(grams["biased"]), grams["unbiased"]
    k = k - k.mean()
    a, b = np.linalg.norm(u), np.linalg.norm(k)
    return {
        "cubes": (u**3).sum() / a**3,
        "triangles": np.vdot(u @ u, u) / a**3,
        "weighted_squares": k @ (u**2).sum(1) / a**2 / b,
        "weighted_sum": k @ u @ k / a / b**2,
        "diagonal_cubes": (k**3).sum() / b**3,
    }


def rbf_cka(x, y, bandwidth=1.0):
    """Biased CKA with Gaussian kernels, and their widths: ``bandwidth`` median distances."""
    h = np.eye(len(x)) - 1 / len(x)
    kernels, widths = [], []
    for values in (x, y):
        distances = np.array([[np.linalg.norm(a - b) for b in values] for a in values])
        pairs = [distances[a, b] for a in range(len(x)) for b in range(a)]
        widths.append(bandwidth * np.median(pairs))
        kernels.append(np.exp(-(distances**2) / (2 * widths[-1] ** 2)))
    k, m = kernels
    norms = np.trace(k @ h @ k @ h) * np.trace(m @ h @ m @ h)
    return np.trace(k @ h @ m @ h) / np.sqrt(norms), widths
