"""The measures in the form of similarity-repository and of ReSi."""

from __future__ import annotations

import inspect
import re
from abc import ABC, abstractmethod
from linecache import getline

import numpy as np
import pytest
import torch

import oracle
from fastcka.core.measures.table import MEASURES as DESCRIPTIONS
from fastcka.errors import DegenerateWarning, InputError
from fastcka.registries import (
    MEASURES,
    ResiMeasure,
    repository_cards,
    repository_measures,
    resi_measures,
)

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
# The standardized names of similarity/standardization.py and similarity/types/__init__.py, except
# those of the chord distances, which are new.
REPOSITORY_NAMES = [
    "cka-kernel=linear-hsic=gretton-score",
    "cka-kernel=linear-hsic=gretton-distance=angular",
    "cka-kernel=linear-hsic=gretton-distance=chord",
    "cka-kernel=linear-hsic=song-score",
    "cka-kernel=linear-hsic=song-distance=angular",
    "cka-kernel=linear-hsic=song-distance=chord",
    "cka-kernel=(rbf-sigma={sigma})-hsic=gretton-score",
    "cka-kernel=(rbf-sigma={sigma})-hsic=gretton-distance=angular",
    "cka-kernel=(rbf-sigma={sigma})-hsic=gretton-distance=chord",
    "nbs-score",
    "procrustes-distance=angular",
    "orthogonal_procrustes_centered_and_normalized",
    "procrustes-distance=euclidean",
    "svcca-var=0.95-score",
    "svcca-var=0.99-score",
]
OF_SHAPE = {
    "invariant_to_ortho",
    "invariant_to_permutation",
    "invariant_to_isotropic_scaling",
    "invariant_to_translation",
}
# Name -> the flags of that class in repsim/measures; None: the name is new.
RESI_CLASSES = {
    "CKA": OF_SHAPE | {"larger_is_more_similar", "is_symmetric"},
    "AngularCKA": None,
    "ChordCKA": None,
    "UnbiasedCKA": None,
    "UnbiasedAngularCKA": None,
    "UnbiasedChordCKA": None,
    "NormalizedBuresSimilarity": None,
    "OrthogonalAngularShapeMetricCentered": OF_SHAPE | {"is_metric", "is_symmetric"},
    "OrthogonalProcrustesCenteredAndNormalized": OF_SHAPE | {"is_metric", "is_symmetric"},
    "ProcrustesSizeAndShapeDistance": (OF_SHAPE | {"is_metric", "is_symmetric"})
    - {"invariant_to_isotropic_scaling"},
}


def value(measure, x, y):
    return measure.value(x, y, width=2.0, names=("x", "y"))


def test_the_form_of_similarity_repository(rng):
    registry = repository_measures()
    assert list(registry) == [f"measure/fastcka/{name}" for name in REPOSITORY_NAMES]
    assert registry.keys() == repository_cards().keys()
    for name, measure in registry.items():
        arguments = list(inspect.signature(measure).parameters)
        assert arguments == [*REPOSITORY_ARGUMENTS, *re.findall(r"\{(\w+)\}", name)]
    x, y = rng.standard_normal((40, 6)), rng.standard_normal((40, 5))
    for measure in registry.values():
        assert type(measure(x, y)) is float
        # A third axis, such as time, is merged with the samples.
        assert measure(x.reshape(8, 5, 6), y.reshape(8, 5, 5)) == measure(x, y)


def test_what_similarity_repository_cannot_pass(rng):
    x = rng.standard_normal((40, 6))
    measure = repository_measures()["measure/fastcka/procrustes-distance=euclidean"]
    with pytest.raises(InputError, match=r"X: expected \(n_samples, n_features\).*shape \(40,\)"):
        measure(x[:, 0], x)
    with pytest.raises(InputError, match=r"Y: expected an array or tensor, got a list"):
        measure(x, x.tolist())
    with pytest.raises(InputError, match=r"Y.*39.*X.*40|X.*40.*Y.*39"):
        measure(x, x[1:])
    gaussian = repository_measures()[
        "measure/fastcka/cka-kernel=(rbf-sigma={sigma})-hsic=gretton-score"
    ]
    for sigma in (0, -1.0, "median", np.nan, True, None):
        with pytest.raises(InputError, match="sigma: expected a positive number, got"):
            gaussian(x, x, sigma=sigma)
    assert gaussian(x, x[::-1], sigma=np.float32(2)) == gaussian(x, x[::-1], sigma=2)


def test_cards():
    prefix = "measure/fastcka/"
    assert repository_cards()[f"{prefix}cka-kernel=linear-hsic=gretton-score"] == {
        "props": ["score"],
        "score": True,
        "metric": False,
        "name": "biased linear CKA",
        "invariances": ["isotropic-scaling", "orthogonal", "permutation", "translation"],
        "paper": ["kornblith2019"],
    }
    assert repository_cards()[f"{prefix}procrustes-distance=euclidean"] == {
        "props": ["metric"],
        "score": False,
        "metric": True,
        "name": ("euclidean distance of Procrustes similarity (normalised Bures similarity)"),
        "invariances": ["orthogonal", "permutation", "translation"],
        "paper": ["williams2021"],
    }


def test_the_form_of_resi():
    measures = resi_measures()
    assert list(measures) == list(RESI_CLASSES)
    for name, measure in measures.items():
        assert measure.name == name
        assert list(inspect.signature(measure).parameters) == RESI_ARGUMENTS
        for flag in RESI_FLAGS:
            assert type(getattr(measure, flag)) is bool
        if RESI_CLASSES[name] is not None:
            assert {flag for flag in RESI_FLAGS if getattr(measure, flag)} == RESI_CLASSES[name]


def test_a_base_class_of_resi_can_count_the_measures_as_its_own():
    class RepresentationalSimilarityMeasure(ABC):
        @abstractmethod
        def __call__(self, R, Rp, shape):
            pass

    RepresentationalSimilarityMeasure.register(ResiMeasure)
    assert isinstance(resi_measures()["CKA"], RepresentationalSimilarityMeasure)


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
def test_flags_agree_with_the_values(measure, rng):
    n, d = 30, 5
    x, near, far = rng.standard_normal((3, n, d))
    near = x + 0.1 * near
    of_far = value(measure, x, far)
    assert (value(measure, x, near) > of_far) == measure.larger_is_more_similar
    assert value(measure, x, x) == pytest.approx(float(measure.larger_is_more_similar), abs=1e-7)
    if measure.is_symmetric:
        assert value(measure, far, x) == pytest.approx(of_far, abs=1e-12)
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
        if abs(value(measure, changed, far) - of_far) < 1e-9
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
        sides = [value(measure, *two) for two in ((x, z), (x, y), (y, z))]
        if measure.larger_is_more_similar:
            sides = [1 - side for side in sides]
        violations += sides[0] > sides[1] + sides[2] + 1e-9
    assert (violations == 0) == measure.is_metric


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
def test_papers_are_those_of_the_table(measure):
    reference = DESCRIPTIONS[measure.measure.name].reference
    stated = {
        f"{name.lower()}{year}" for name, year in re.findall(r"(\w+) et al. (\d+)", reference)
    }
    assert stated & set(measure.papers) or measure.kind == "chord"


def test_an_undefined_value_is_nan(rng):
    x, y = np.ones((40, 3)), rng.standard_normal((40, 4))
    for measure in MEASURES:
        with pytest.warns(DegenerateWarning, match="with x is NaN: .*zero variance"):
            assert np.isnan(value(measure, x, y))


def test_a_warning_shows_the_line_of_the_caller(rng):
    x, y = np.ones((40, 3)), rng.standard_normal((40, 4))
    for name, measure in repository_measures().items():
        with pytest.warns(DegenerateWarning) as caught:
            measure(x, y)  # repository
        assert "# repository" in getline(caught[0].filename, caught[0].lineno), name
    with pytest.warns(DegenerateWarning) as caught:
        resi_measures()["CKA"](x, y, "nd")  # resi
    assert "# resi" in getline(caught[0].filename, caught[0].lineno)


class TestShapesOfResi:
    def test_tokens_are_rows(self, rng):
        tokens = rng.standard_normal((2, 9, 4, 6))
        rows = [x.reshape(36, 6) for x in tokens]
        for measure in resi_measures().values():
            assert measure(*tokens, "ntd") == measure(*rows, "nd")

    def test_cka_flattens_channels_and_positions(self, rng):
        maps = rng.standard_normal((2, 12, 3, 2, 2))
        rows = [x.reshape(12, 12) for x in maps]
        measure = resi_measures()["CKA"]
        assert measure(*maps, "nchw") == pytest.approx(oracle.cka(*rows, "biased"), abs=1e-12)
        tensors = [torch.from_numpy(x) for x in maps]
        assert measure(*tensors, "nchw") == measure(*maps, "nchw")

    def test_procrustes_makes_rows_of_positions(self, rng):
        maps = rng.standard_normal((2, 12, 3, 2, 4))
        rows = [
            np.array([x[n, :, h, w] for n in range(12) for h in range(2) for w in range(4)])
            for x in maps
        ]
        measure = resi_measures()["ProcrustesSizeAndShapeDistance"]
        expected = measure(*rows, "nd")
        assert measure(*maps, "nchw") == pytest.approx(expected, abs=1e-12)
        tensors = [torch.from_numpy(x) for x in maps]
        assert measure(*tensors, "nchw") == pytest.approx(expected, abs=1e-12)

    def test_larger_images_are_averaged(self, rng):
        small = rng.standard_normal((12, 3, 2, 8))
        large = rng.standard_normal((12, 5, 4, 4))
        measure = resi_measures()["OrthogonalAngularShapeMetricCentered"]
        averaged = (
            small.reshape(12, 3, 2, 4, 2).mean(axis=4),
            large.reshape(12, 5, 2, 2, 4).mean(axis=3),
        )
        expected = measure(*averaged, "nchw")
        assert measure(small, large, "nchw") == pytest.approx(expected, abs=1e-12)

    def test_many_positions_are_thinned(self, rng):
        maps = rng.standard_normal((2, 1000, 2, 3, 4))
        rows = [x.transpose(0, 2, 3, 1).reshape(-1, 2) for x in maps]  # 12,000: every second
        measure = resi_measures()["OrthogonalProcrustesCenteredAndNormalized"]
        expected = measure(*(x[::2] for x in rows), "nd")
        assert measure(*maps, "nchw") == pytest.approx(expected, abs=1e-12)
        fewer = [x[:800] for x in maps]  # 9,600: all
        expected = measure(*(x[:9600] for x in rows), "nd")
        assert measure(*fewer, "nchw") == pytest.approx(expected, abs=1e-12)

    def test_errors(self, rng):
        tokens, maps = rng.standard_normal((2, 9, 4, 6)), rng.standard_normal((2, 12, 3, 2, 2))
        cka = resi_measures()["CKA"]
        with pytest.raises(
            InputError, match=r"R: expected 3 axes for shape 'ntd'.*\(12, 3, 2, 2\)"
        ):
            cka(*maps, "ntd")
        with pytest.raises(InputError, match="shape: expected 'nd', 'ntd' or 'nchw', got 'ndt'"):
            cka(*tokens, "ndt")
        with pytest.raises(InputError, match="shape: expected 'nd', 'ntd' or 'nchw', got None"):
            cka(*tokens, None)
        with pytest.raises(InputError, match="Rp: expected an array or tensor, got a list"):
            cka(tokens[0], tokens[1].tolist(), "ntd")
