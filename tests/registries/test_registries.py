"""The measures in the form of similarity-repository and of ReSi."""

from __future__ import annotations

import inspect
import re

import numpy as np
import pytest
import torch

import oracle
from fastcka.errors import DegenerateWarning, InputError
from fastcka.registries import MEASURES, repository_cards, repository_measures, resi_measures

# As published: the arguments of similarity/registration.py (MeasureInterface.__call__) and of
# repsim/measures/utils.py (RepresentationalSimilarityMeasure.__call__) with its attributes.
REPOSITORY_ARGUMENTS = ["X", "Y"]
RESI_ARGUMENTS = ["R", "Rp", "shape"]
RESI_FLAGS = {
    "larger_is_more_similar",
    "is_symmetric",
    "is_metric",
    "invariant_to_affine",
    "invariant_to_invertible_linear",
    "invariant_to_ortho",
    "invariant_to_permutation",
    "invariant_to_isotropic_scaling",
    "invariant_to_translation",
}
NAME = "measure/fastcka/cka-kernel=linear-hsic={}-{}"


@pytest.fixture
def pair(rng):
    x = rng.standard_normal((40, 6))
    return x, x[:, :4] @ rng.standard_normal((4, 5)) + rng.standard_normal((40, 5))


def expected(x, y, estimator, kind):
    value = oracle.cka(x, y, estimator)
    return {"score": value, "angular": np.arccos(value), "chord": np.sqrt(2 - 2 * value)}[kind]


@pytest.mark.parametrize(("hsic", "estimator"), [("gretton", "biased"), ("song", "unbiased")])
@pytest.mark.parametrize("kind", ["score", "angular", "chord"])
def test_values_under_the_names_of_similarity_repository(pair, hsic, estimator, kind):
    measure = repository_measures()[
        NAME.format(hsic, kind if kind == "score" else f"distance={kind}")
    ]
    value = measure(*pair)
    assert type(value) is float
    assert value == pytest.approx(expected(*pair, estimator, kind), abs=1e-12)


def test_values_of_procrustes(pair):
    x, y = (each - each.mean(axis=0) for each in pair)
    singular = np.linalg.svd(x.T @ y, compute_uv=False)
    value = singular.sum() / np.linalg.norm(x) / np.linalg.norm(y)
    measures = repository_measures()
    assert measures["measure/fastcka/nbs"](*pair) == pytest.approx(value, abs=1e-12)
    angle = measures["measure/fastcka/procrustes-distance=angular"](*pair)
    assert angle == pytest.approx(np.arccos(value), abs=1e-12)


def test_the_form_of_similarity_repository(pair):
    registry = {}
    for name, measure in repository_measures().items():
        assert re.fullmatch(
            r"measure/fastcka/(cka-kernel=linear-hsic=\w+-(score|distance=\w+)"
            r"|nbs|procrustes-distance=angular)",
            name,
        )
        assert list(inspect.signature(measure).parameters) == REPOSITORY_ARGUMENTS
        registry[name] = measure
    assert len(registry) == len(MEASURES) == 8
    assert registry.keys() == repository_cards().keys()
    x, y = pair
    measure = registry[NAME.format("gretton", "score")]
    # A third axis, such as time, is merged with the samples.
    assert measure(x.reshape(8, 5, 6), y.reshape(8, 5, 5)) == measure(x, y)
    with pytest.raises(InputError, match=r"X: expected \(n_samples, n_features\).*shape \(40,\)"):
        measure(x[:, 0], y)


def test_cards(pair):
    card = repository_cards()[NAME.format("gretton", "score")]
    assert card == {
        "props": ["score"],
        "score": True,
        "metric": False,
        "name": "biased CKA",
        "invariances": ["isotropic-scaling", "orthogonal", "permutation", "translation"],
        "paper": ["kornblith2019"],
    }
    angular = repository_cards()[NAME.format("song", "distance=angular")]
    assert (angular["score"], angular["metric"]) == (False, True)


def test_the_form_of_resi(pair):
    measures = resi_measures()
    assert list(measures) == [
        "CKA",
        "AngularCKA",
        "ChordCKA",
        "UnbiasedCKA",
        "UnbiasedAngularCKA",
        "UnbiasedChordCKA",
        "NormalizedBuresSimilarity",
        "OrthogonalAngularShapeMetricCentered",
    ]
    for name, measure in measures.items():
        assert measure.name == name
        assert list(inspect.signature(measure).parameters) == RESI_ARGUMENTS
        for flag in RESI_FLAGS:
            assert type(getattr(measure, flag)) is bool
    # The flags of class CKA in repsim/measures/cka.py.
    assert {flag for flag in RESI_FLAGS if getattr(measures["CKA"], flag)} == {
        "larger_is_more_similar",
        "is_symmetric",
        "invariant_to_ortho",
        "invariant_to_permutation",
        "invariant_to_isotropic_scaling",
        "invariant_to_translation",
    }


def test_shapes_of_resi(rng):
    cka = resi_measures()["CKA"]
    tokens = rng.standard_normal((2, 9, 4, 6))
    maps = rng.standard_normal((2, 12, 3, 2, 2))
    flat = [x.reshape(36, 6) for x in tokens]
    assert cka(*tokens, "ntd") == pytest.approx(oracle.cka(*flat, "biased"), abs=1e-12)
    flat = [x.reshape(12, 12) for x in maps]
    assert cka(*maps, "nchw") == pytest.approx(oracle.cka(*flat, "biased"), abs=1e-12)
    tensors = [torch.from_numpy(x) for x in flat]
    assert cka(*tensors, "nd") == pytest.approx(oracle.cka(*flat, "biased"), abs=1e-12)
    with pytest.raises(InputError, match=r"R: expected 3 axes for shape 'ntd'.*\(12, 3, 2, 2\)"):
        cka(*maps, "ntd")
    with pytest.raises(InputError, match="shape: expected 'nd', 'ntd' or 'nchw', got 'ndt'"):
        cka(*tokens, "ndt")


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
def test_flags_agree_with_the_values(measure, rng):
    n, d = 30, 5
    x, near, far = rng.standard_normal((3, n, d))
    near = x + 0.1 * near
    value = measure.function(x, far)
    assert (measure.function(x, near) > value) == measure.larger_is_more_similar
    assert measure.function(x, x) == pytest.approx(float(measure.larger_is_more_similar), abs=1e-7)
    if measure.is_symmetric:
        assert measure.function(far, x) == pytest.approx(value, abs=1e-12)
    linear = rng.standard_normal((d, d))
    changes = {
        "permutation": x[:, rng.permutation(d)],
        "orthogonal": x @ np.linalg.qr(linear)[0],
        "isotropic-scaling": 3 * x,
        "translation": x + rng.standard_normal(d),
        "invertible-linear": x @ linear,
        "affine": x @ linear + 1,
    }
    unchanged = {
        name
        for name, changed in changes.items()
        if abs(measure.function(changed, far) - value) < 1e-9
    }
    assert unchanged == measure.invariances


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
def test_metrics_satisfy_the_triangle_inequality(measure, rng):
    violations = 0
    for _ in range(60):
        # Chains of similar representations, for which 1 - CKA violates it.
        x = rng.standard_normal((6, 1))
        y = x + rng.standard_normal((6, 1))
        z = y + rng.standard_normal((6, 1))
        sides = [measure.function(*two) for two in ((x, z), (x, y), (y, z))]
        if measure.larger_is_more_similar:
            sides = [1 - side for side in sides]
        violations += sides[0] > sides[1] + sides[2] + 1e-9
    assert (violations == 0) == measure.is_metric


def test_an_undefined_value_is_nan(pair):
    x = np.ones((40, 3))
    for measure in MEASURES:
        with pytest.warns(DegenerateWarning, match="zero variance"):
            assert np.isnan(measure.function(x, pair[1]))
