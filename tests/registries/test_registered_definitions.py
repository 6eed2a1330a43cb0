"""The registered measures against the formulas of the packages behind their names.

Each formula is written as in the published code that its comment names.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA

import oracle
from fastcka.registries import repository_measures, resi_measures


def both_centered(x, y):
    return x - x.mean(axis=0), y - y.mean(axis=0)


def padded(x, y):
    d = max(x.shape[1], y.shape[1])
    return tuple(np.pad(v, ((0, 0), (0, d - v.shape[1]))) for v in (x, y))


def gaussian_cka(x, y, sigma):
    """platonic-rep, metrics.py: hsic_biased of two kernels."""
    h = np.eye(len(x)) - 1 / len(x)
    k, m = (np.exp(-(cdist(v, v) ** 2) / (2 * sigma**2)) for v in (x, y))

    def hsic(a, b):
        return np.trace(a @ h @ b @ h)

    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


def normalized_bures(x, y):
    """nn_similarity_index, sim_indices.py: from the eigenvalues of the product of Gram matrices."""
    k, m = (v @ v.T for v in both_centered(x, y))
    values = np.linalg.eigvals(k @ m).real
    values = values[values > 1e-12 * values.max()]  # the root of a rounding error is large
    return np.sqrt(values).sum() / np.sqrt(np.trace(k) * np.trace(m))


def size_and_shape(x, y):
    """ReSi, procrustes.py: orthogonal_procrustes after centring and zero padding."""
    x, y = padded(*both_centered(x, y))
    nuclear = orthogonal_procrustes(x, y)[1]
    return np.sqrt(np.linalg.norm(x) ** 2 + np.linalg.norm(y) ** 2 - 2 * nuclear)


def centered_and_normalized(x, y):
    """ReSi, procrustes.py: as `size_and_shape`, of matrices with norm 1."""
    x, y = padded(*both_centered(x, y))
    x, y = x / np.linalg.norm(x), y / np.linalg.norm(y)
    return np.linalg.norm(x @ orthogonal_procrustes(x, y)[0] - y)


def shape_angle(x, y):
    """ReSi, procrustes.py: the angle between the aligned matrices."""
    x, y = padded(*both_centered(x, y))
    x, y = x / np.linalg.norm(x), y / np.linalg.norm(y)
    return np.arccos(np.trace((x @ orthogonal_procrustes(x, y)[0]).T @ y))


def svcca(x, y, share):
    """similarity-repository: PCA of scikit-learn, then the mean of google/svcca, cca_core.py."""
    x, y = (PCA(n_components=share).fit_transform(v) for v in (x, y))
    covariance = np.cov(x.T, y.T)
    d = x.shape[1]
    sxx, sxy, syy = covariance[:d, :d], covariance[:d, d:], covariance[d:, d:]

    def inverse_root(matrix):
        values, vectors = np.linalg.eigh(matrix)
        return vectors / np.sqrt(values) @ vectors.T

    return np.linalg.svd(inverse_root(sxx) @ sxy @ inverse_root(syy), compute_uv=False).mean()


def cka(x, y):
    return oracle.cka(x, y, "biased")


def unbiased_cka(x, y):
    return oracle.cka(x, y, "unbiased")


def angular(similarity):
    return lambda *arguments: np.arccos(similarity(*arguments))


def chord(similarity):
    return lambda *arguments: np.sqrt(2 - 2 * similarity(*arguments))


GAUSSIAN = "cka-kernel=(rbf-sigma={sigma})-hsic=gretton"
FORMULAS = {
    "cka-kernel=linear-hsic=gretton-score": cka,
    "cka-kernel=linear-hsic=gretton-distance=angular": angular(cka),
    "cka-kernel=linear-hsic=gretton-distance=chord": chord(cka),
    "cka-kernel=linear-hsic=song-score": unbiased_cka,
    "cka-kernel=linear-hsic=song-distance=angular": angular(unbiased_cka),
    "cka-kernel=linear-hsic=song-distance=chord": chord(unbiased_cka),
    "nbs-score": normalized_bures,
    "procrustes-distance=angular": shape_angle,
    "orthogonal_procrustes_centered_and_normalized": centered_and_normalized,
    "procrustes-distance=euclidean": size_and_shape,
    "svcca-var=0.95-score": lambda x, y: svcca(x, y, 0.95),
    "svcca-var=0.99-score": lambda x, y: svcca(x, y, 0.99),
}
GAUSSIAN_FORMULAS = {
    f"{GAUSSIAN}-score": gaussian_cka,
    f"{GAUSSIAN}-distance=angular": angular(gaussian_cka),
    f"{GAUSSIAN}-distance=chord": chord(gaussian_cka),
}
OF_RESI = {
    "CKA": cka,
    "OrthogonalAngularShapeMetricCentered": shape_angle,
    "OrthogonalProcrustesCenteredAndNormalized": centered_and_normalized,
    "ProcrustesSizeAndShapeDistance": size_and_shape,
}


@pytest.fixture(params=[(6, 4), (4, 7), (5, 5)], ids=str)
def pair(request, rng):
    """Related representations with means, and features of different scales."""
    d, e = request.param
    x = rng.standard_normal((60, d)) * 2.0 ** -np.arange(d) + 3
    return x, x @ rng.standard_normal((d, e)) + 0.3 * rng.standard_normal((60, e)) - 1


def test_every_measure_has_a_formula():
    assert {f"measure/fastcka/{name}" for name in (*FORMULAS, *GAUSSIAN_FORMULAS)} == {
        *repository_measures()
    }


@pytest.mark.parametrize("name", FORMULAS)
def test_the_formula(pair, name):
    measure = repository_measures()[f"measure/fastcka/{name}"]
    assert measure(*pair) == pytest.approx(FORMULAS[name](*pair), abs=1e-9)


@pytest.mark.parametrize("name", GAUSSIAN_FORMULAS)
def test_the_formula_of_gaussian_kernels(pair, name):
    measure, formula = repository_measures()[f"measure/fastcka/{name}"], GAUSSIAN_FORMULAS[name]
    assert measure(*pair) == pytest.approx(formula(*pair, 1.0), abs=1e-9)
    assert measure(*pair, sigma=0.7) == pytest.approx(formula(*pair, 0.7), abs=1e-9)


@pytest.mark.parametrize("name", OF_RESI)
def test_the_formula_of_resi(pair, name):
    assert resi_measures()[name](*pair, "nd") == pytest.approx(OF_RESI[name](*pair), abs=1e-9)


def test_svcca_compares_wide_subspaces_as_the_registry(rng):
    x, y = rng.standard_normal((2, 20, 15))
    value = repository_measures()["measure/fastcka/svcca-var=0.99-score"](x, y)
    assert value == pytest.approx(svcca(x, y, 0.99), abs=1e-9)
