"""Measures against their definitions, other packages, and hand-computed values."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import torch

import fastcka
import measure_definitions as definitions
from fastcka.core.measures.measure import Measure, parse_measures
from fastcka.core.measures.neighbors import find_neighbors
from fastcka.core.measures.table import MEASURES, MeasureName
from fastcka.errors import DeviceError, InputError, OutOfMemoryError

ALL = list(get_args(MeasureName))
FURTHER = ALL[1:]


def case(seed):
    """Three representations that have some structure in common, of random shapes."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(24, 40))
    latent = rng.standard_normal((n, 3))
    widths = rng.integers(2, 10, 3)
    return [
        latent @ rng.standard_normal((3, d)) + 0.5 * rng.standard_normal((n, d)) + rng.uniform(0, 2)
        for d in widths
    ]


def expected(measure, x, y):
    options = measure.options
    return {
        "rbf_cka": lambda: definitions.rbf_cka(x, y, options["bandwidth"], options["scale"]),
        "mutual_knn": lambda: definitions.mutual_knn(x, y, options["k"]),
        "cknna": lambda: definitions.cknna(x, y, options["k"]),
        "cknna_reference": lambda: definitions.cknna_reference(x, y, options["k"]),
        "procrustes": lambda: definitions.bures(x, y),
        "svcca": lambda: definitions.svcca(x, y, options["variance"]),
        "pwcca": lambda: definitions.pwcca(x, y),
    }[measure.name]()


@pytest.mark.parametrize("name", FURTHER)
def test_the_definition(name, capsys):
    """On 100 random pairs in both orders; the largest error is printed (pytest -s)."""
    rng = np.random.default_rng(1)
    tolerance = {"procrustes": 1e-7}.get(name, 1e-9)  # of the root of a matrix in the definition
    options = {"k": 4} if "k" in MEASURES[name].options else {}
    largest = 0.0
    for seed in range(17):
        xs = case(seed)
        if name == "rbf_cka":
            rule = ["median", "median_squared", float(rng.uniform(1, 5))][seed % 3]
            options = {"bandwidth": rule, "scale": float(rng.uniform(0.5, 2))}
        if name == "svcca":
            options = {"variance": float(rng.uniform(0.7, 0.999))}
        measure = Measure(name, **options)
        matrix = fastcka.compare(xs, measures=[measure]).measure(name)
        assert matrix.dtype == np.float64
        np.testing.assert_allclose(matrix.diagonal(), 1, atol=1e-3)
        for i, j in [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)]:
            largest = max(largest, abs(matrix[i, j] - expected(measure, xs[i], xs[j])))
    with capsys.disabled():
        print(f"{name}: largest error of 102 values {largest:.1e}")
    assert largest < tolerance


@pytest.mark.parametrize("name", FURTHER)
def test_symmetry_is_as_in_the_table(name):
    measure = Measure(name, **({"k": 4} if "k" in MEASURES[name].options else {}))
    matrices = [fastcka.compare(case(seed), measures=[measure]).measure(name) for seed in range(5)]
    symmetric = all(np.array_equal(matrix, matrix.T) for matrix in matrices)
    assert symmetric == MEASURES[name].symmetric


@pytest.mark.parametrize("name", FURTHER)
def test_the_invariances_of_the_table(name):
    x, y, _ = case(3)
    rng = np.random.default_rng(0)
    d = x.shape[1]
    rotation = np.linalg.qr(rng.standard_normal((d, d)))[0]
    changes = {
        "translation": x + 3,
        "rotation": x @ rotation,
        "isotropic scale": 7 * x,
        "positive scale of each example": x * rng.uniform(1, 2, (len(x), 1)),
    }
    measure = Measure(name, **({"k": 4} if "k" in MEASURES[name].options else {}))

    def value(z):
        return fastcka.compare([z, y], measures=[measure]).measure(name)[0, 1]

    kept = {change for change, z in changes.items() if abs(value(z) - value(x)) < 1e-9}
    assert kept - {"isotropic scale"} == {*MEASURES[name].invariances} - {"isotropic scale"}
    assert "isotropic scale" in kept  # a special case of the scale of each example


def test_procrustes_is_that_of_scipy():
    from scipy.linalg import orthogonal_procrustes
    from scipy.spatial import procrustes

    x, y, _ = case(0)
    d = max(x.shape[1], y.shape[1])
    x, y = (np.pad(v, ((0, 0), (0, d - v.shape[1]))) for v in (x, y))
    value = fastcka.compare([x, y], measures=["procrustes"]).measure("procrustes")[0, 1]
    units = [definitions.centered(v) / np.linalg.norm(definitions.centered(v)) for v in (x, y)]
    assert value == pytest.approx(orthogonal_procrustes(*units)[1], abs=1e-12)
    assert 1 - value**2 == pytest.approx(procrustes(x, y)[2], abs=1e-12)


def test_cca_is_that_of_scikit_learn():
    from sklearn.cross_decomposition import CCA

    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 3))
    y = x @ rng.standard_normal((3, 3)) + rng.standard_normal((200, 3))
    fitted = CCA(n_components=3, scale=False, max_iter=5000, tol=1e-12).fit_transform(x, y)
    correlations = [np.corrcoef(fitted[0][:, c], fitted[1][:, c])[0, 1] for c in range(3)]
    result = fastcka.compare([x, y], measures=[Measure("svcca", variance=1.0)])
    assert result.measure("svcca")[0, 1] == pytest.approx(np.mean(correlations), abs=1e-6)


def test_wide_representations():
    """More features than examples: Procrustes and SVCCA from smaller factors, as defined."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20, 50)), rng.standard_normal((20, 70))
    y[:, :50] += x
    asked = [Measure("procrustes"), Measure("svcca", variance=0.3)]
    result = fastcka.compare([x, y], measures=asked)
    assert result.measure("procrustes")[0, 1] == pytest.approx(definitions.bures(x, y), abs=1e-7)
    similarity = definitions.svcca(x, y, 0.3)
    assert result.measure("svcca")[0, 1] == pytest.approx(similarity, abs=1e-9)


def test_panels_and_tiles_do_not_matter(monkeypatch):
    xs = case(5)
    asked = [Measure("mutual_knn", k=3), Measure("cknna", k=3), Measure("rbf_cka")]
    whole = fastcka.compare(xs, measures=asked)
    monkeypatch.setattr("fastcka.core.measures.neighbors.PANEL_BYTES", 8 * len(xs[0]) * 5)
    monkeypatch.setattr("fastcka.core.measures.rbf.TILE_BYTES", 8 * 3 * 7 * 7)
    monkeypatch.setattr("fastcka.core.measures.rbf.MOST_ROWS", 9)
    monkeypatch.setattr("fastcka.core.measures.cross_products.BATCH_BYTES", 1)
    parts = fastcka.compare(xs, measures=asked)
    for name in parts.measures:
        np.testing.assert_allclose(parts.measure(name), whole.measure(name), rtol=0, atol=1e-13)


def test_ties_go_to_lower_positions():
    units = np.array([[1.0, 0], [0, 1], [0, 1], [0, 1], [1, 0]])
    neighbors = find_neighbors(units, 2)
    assert (neighbors.codes % 5).reshape(5, 2).tolist() == [[1, 4], [2, 3], [1, 3], [1, 2], [0, 1]]


@pytest.mark.parametrize("seed", range(4))
def test_rounding_does_not_order_ties(seed):
    """Whole numbers have many equal cosines, which rounding makes different."""
    n, k = 61, 3
    rng = np.random.default_rng(seed)
    xs = [rng.integers(-3, 4, (n, 5)), np.outer(rng.integers(1, 9, n), rng.integers(1, 9, 8))]
    xs[0][(xs[0] == 0).all(1), 0] = 1
    sets = []
    for x in xs:
        order = [
            sorted(set(range(n)) - {a}, key=lambda b, x=x, a=a: (-squared_cosine(x[a], x[b]), b))
            for a in range(n)
        ]
        sets.append([set(each[:k]) for each in order])
    expected = sum(len(p & q) for p, q in zip(*sets, strict=True)) / (k * n)
    asked = [Measure("mutual_knn", k=k)]
    value = fastcka.compare([0.1 * x for x in xs], measures=asked).measure("mutual_knn")[0, 1]
    assert value == pytest.approx(expected, abs=1e-12)


def squared_cosine(a, b):
    """The square, with the sign of the cosine, of whole numbers."""
    product = int(a @ b)
    return Fraction(product * abs(product), int(a @ a) * int(b @ b))


def test_values_by_hand():
    """On a circle, the neighbours are the examples before and after; then two are exchanged."""
    angles = 2 * np.pi * np.arange(6) / 6 + 0.01 * np.arange(6)
    x = np.column_stack([np.cos(angles), np.sin(angles)])
    y = x[[0, 1, 3, 2, 4, 5]]
    value = fastcka.compare([x, y], measures=[Measure("mutual_knn", k=2)]).measure("mutual_knn")
    # x: 0: 5 1, 1: 0 2, 2: 1 3, 3: 2 4, 4: 3 5, 5: 4 0; y: 0: 5 1, 1: 0 3, 2: 3 4, 3: 1 2,
    # 4: 2 5, 5: 4 0, so 2 + 1 + 1 + 1 + 1 + 2 of 12 are common.
    assert value[0, 1] == pytest.approx(8 / 12)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_the_unit_does_not_matter(scale):
    x, y, _ = case(2)
    asked = [
        Measure(name, **({"k": 4} if "k" in MEASURES[name].options else {})) for name in FURTHER
    ]
    with np.errstate(all="ignore"):
        one, other = (fastcka.compare([z, y], measures=asked) for z in (x, x * scale))
    for name in FURTHER:
        np.testing.assert_allclose(other.measure(name), one.measure(name), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("bandwidth", "scale"), [(1e-200, 1.0), ("median", 1e-200), (1e10, 1.0), (1e300, 1.0)]
)
def test_extreme_bandwidths(bandwidth, scale):
    x, y, _ = case(2)
    measure = Measure("rbf_cka", bandwidth=bandwidth, scale=scale)
    result = fastcka.compare([x * 1e-150, y * 1e-150], measures=[measure])
    reasons = result.provenance["measures"]["rbf_cka"]["of_each"].get("undefined", [None, None])
    if bandwidth in (1e10, 1e300):
        assert reasons == ["its Gaussian kernel is constant: the bandwidth is too large for it"] * 2
        assert np.isnan(result.measure("rbf_cka")).all()
    else:  # the kernel matrix of both is the identity
        assert reasons == [None, None]
        np.testing.assert_allclose(result.measure("rbf_cka"), 1)


def test_arrays_of_other_libraries():
    x, y, z = (values.astype(np.float32) for values in case(4))
    names = [f"row {i}" for i in range(len(x))]
    order = np.random.default_rng(0).permutation(len(x))
    tables = [
        pd.DataFrame(x, index=names),
        pd.DataFrame(y, index=names).iloc[order],
        pd.DataFrame(z, index=names),
    ]
    plain = fastcka.compare([x, y, z], measures=["procrustes", "mutual_knn"])
    for others in (tables, [torch.tensor(x), y[:, ::-1], z]):
        result = fastcka.compare(others, measures=["procrustes", "mutual_knn"])
        for name in ("procrustes", "mutual_knn"):
            np.testing.assert_allclose(result.measure(name), plain.measure(name), atol=1e-6)


def test_what_was_used_is_recorded():
    x, y, _ = case(0)
    result = fastcka.compare(
        [x, y], measures=["rbf_cka", Measure("svcca", variance=0.8), Measure("mutual_knn", k=3)]
    )
    record = json.loads(json.dumps(result.provenance))["measures"]
    distances = [np.linalg.norm(a - b) for k, a in enumerate(x) for b in x[:k]]
    assert record["rbf_cka"]["bandwidth"] == "median"
    assert record["rbf_cka"]["of_each"]["bandwidth_used"][0] == pytest.approx(np.median(distances))
    kept = [definitions.principal(z, 0.8).shape[1] for z in (x, y)]
    assert record["svcca"]["of_each"]["components"] == kept
    assert record["mutual_knn"]["k"] == 3
    assert result.provenance["seconds"] >= record["rbf_cka"]["seconds"] > 0


def test_undefined_similarities_have_reasons():
    x, y, _ = case(0)
    constant, with_zero = np.ones((len(x), 2)), np.where(np.arange(len(x))[:, None] == 2, 0, y)
    half = np.where(np.arange(len(x))[:, None] < len(x) - 3, 1.0, y)
    result = fastcka.compare([x, constant, with_zero, half], measures=FURTHER, estimator="biased")
    for name in FURTHER:
        reasons = result.provenance["measures"][name]["of_each"]["undefined"]
        nan = np.isnan(result.measure(name))
        assert nan[1].all()
        assert nan[:, 1].all()
        assert reasons[1] == "zero variance: no feature varies over the examples"
        assert reasons[0] is None
        assert np.isnan(result.measure(name).diagonal()).tolist() == [
            r is not None for r in reasons
        ]
    of_each = {name: result.provenance["measures"][name]["of_each"] for name in FURTHER}
    assert "1 of its examples are zero" in of_each["mutual_knn"]["undefined"][2]
    assert "median distance" in of_each["rbf_cka"]["undefined"][3]


@pytest.mark.parametrize(
    ("measures", "message"),
    [
        (["procruste"], "expected one of cka, rbf_cka.*; got 'procruste'.*procrustes"),
        ([{"name": ["cknna"]}], r"expected one of cka, rbf_cka.*; got \['cknna'\]"),
        ([3], "expected a name, fastcka.Measure"),
        (7, "expected a list of names"),
        ([], "expected at least one"),
        (["cknna", "cknna"], "cknna is listed twice"),
        ([{"name": "cknna", "neighbours": 3}], "cknna has no option neighbours"),
    ],
)
def test_wrong_measures_are_refused(measures, message):
    x, y, _ = case(0)
    with pytest.raises(InputError, match=message):
        fastcka.compare([x, y], measures=measures)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "procrustes", "k": 3}, "procrustes has no option k: it has no options"),
        ({"name": "cknna", "k": 1}, "cknna: k: expected an integer of at least 2; got 1"),
        ({"name": "mutual_knn", "k": True}, "k: expected an integer"),
        ({"name": "rbf_cka", "bandwidth": "mean"}, "'median', 'median_squared' or a positive"),
        ({"name": "rbf_cka", "bandwidth": -1.0}, "bandwidth: expected"),
        ({"name": "rbf_cka", "scale": math.inf}, "scale: expected a positive number"),
        ({"name": "svcca", "variance": 1.2}, "variance: expected a number above 0 and up to 1"),
        ({"name": "pwcca", "allow_wide": 1}, "allow_wide: expected True or False"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Measure(**options)


def test_measures_can_be_written_down():
    parsed = parse_measures(["cka", {"name": "mutual_knn", "k": 3}, Measure("svcca")])
    assert parsed == parse_measures([each.to_dict() for each in parsed])
    assert parsed[1].to_dict() == {"name": "mutual_knn", "k": 3}


def test_too_few_examples_are_refused():
    xs = [x[:8] for x in case(0)]
    with pytest.raises(InputError, match=r"mutual_knn with k=10 neighbours needs at least 11 .* 8"):
        fastcka.compare(xs, measures=["mutual_knn"])
    wide = [np.random.default_rng(i).standard_normal((20, 15)) for i in range(2)]
    for name, dimensions in (("pwcca", "15 dimensions"), ("svcca", "1. principal components")):
        with pytest.raises(InputError, match=f"{name} of .* would compare {dimensions}.*wide=True"):
            fastcka.compare(wide, measures=[name])
        result = fastcka.compare(wide, measures=[Measure(name, allow_wide=True)])
        assert result.measure(name)[0, 1] > 0.6  # of unrelated data, which is the danger


def test_values_that_are_not_finite_are_refused():
    x, y, _ = case(0)
    x[3, 1] = np.nan
    with pytest.raises(InputError, match="1 NaN or infinite value"):
        fastcka.compare([x, y], measures=["procrustes"])


def test_what_a_device_or_blocks_of_rows_do_not_compute():
    x, y, _ = case(0)
    with pytest.raises(DeviceError, match="the measure procrustes is computed on the CPU only"):
        fastcka.compare([x, y], measures=["procrustes"], device="cuda")
    with pytest.raises(OutOfMemoryError, match="the measure procrustes needs all examples in mem"):
        fastcka.compare([x, y], measures=["procrustes"], memory=1000)


def test_measures_that_were_not_computed():
    x, y, _ = case(0)
    result = fastcka.compare([x, y], measures=["procrustes"])
    with pytest.raises(InputError, match="expected one of cka, procrustes, which were computed"):
        result.measure("svcca")
    with pytest.raises(InputError, match=r"got \['procrustes'\]"):
        result.measure(["procrustes"])
    np.testing.assert_array_equal(result.measure("cka"), result.cka)
    assert fastcka.compare([x, y]).measures == {}


def test_two_sets():
    x, y, z = case(0)
    names = ["procrustes", "pwcca"]
    crossed = fastcka.compare({"x": x}, {"y": y, "z": z}, measures=names)
    whole = fastcka.compare([x, y, z], measures=names)
    for name in names:
        np.testing.assert_array_equal(crossed.measure(name), whole.measure(name)[:1, 1:])


def test_many_groups():
    groups = [case(seed) for seed in range(3)]
    outcomes = [
        outcome
        for flight in fastcka.core.compare_many(iter(groups), measures=["procrustes"])
        for outcome in flight
    ]
    for group, outcome in zip(groups, outcomes, strict=True):
        single = fastcka.compare(group, measures=["procrustes"])
        np.testing.assert_array_equal(outcome.measure("procrustes"), single.measure("procrustes"))
