"""The result: labels, tables, saving and loading."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import FrozenInstanceError, replace
from typing import NamedTuple

import numpy as np
import pytest

import fastcka
import oracle
from fastcka import Comparison, files
from fastcka.errors import InputError, WriteError


class Key(NamedTuple):
    model: str
    step: int


@pytest.fixture
def xs(rng):
    return [rng.standard_normal((30, d)) for d in (3, 5, 4)]


@pytest.fixture
def comparison(device, xs):
    labels = [Key("a", 0), {"model": "b", "step": 10, "tasks": ["t", "u"]}, "c"]
    return fastcka.compare(xs, labels=labels, pairs=[(2, 0), (0, 1)], device=device)


def test_both_estimators_are_computed(device, xs, comparison):
    for estimator in ("biased", "unbiased"):
        expected = oracle.cka_matrix(xs, estimator)
        np.testing.assert_allclose(getattr(comparison, estimator), expected, atol=1e-12)
    np.testing.assert_array_equal(comparison.cka, comparison.unbiased)
    np.testing.assert_array_equal(comparison.hsic, comparison.hsic_unbiased)
    expected = oracle.hsic_unbiased(xs[0], xs[2])
    assert comparison.hsic[0, 2] == pytest.approx(expected, rel=1e-10)
    biased = fastcka.compare(xs, estimator="biased", device=device)
    np.testing.assert_array_equal(biased.cka, comparison.biased)
    assert biased.hsic[0, 1] == pytest.approx(oracle.hsic_biased(xs[0], xs[1]), rel=1e-10)


def test_labels(comparison, xs):
    assert comparison.labels == (
        {"model": "a", "step": 0},
        {"model": "b", "step": 10, "tasks": ["t", "u"]},
        {"label": "c"},
    )
    assert comparison.names == ["a 0", "b 10 t+u", "c"]
    assert fastcka.compare(xs).names == ["0", "1", "2"]
    assert fastcka.compare(dict(zip("xyz", xs, strict=True))).names == ["x", "y", "z"]
    assert "3 representations, 2 pairs, 30 examples, unbiased" in repr(comparison)


def test_dataframe(comparison):
    frame = comparison.to_dataframe()
    assert len(frame) == 2
    first = frame.iloc[0]
    assert (first.model_a, first.step_a, first.label_b) == ("a", 0, "c")
    assert first.cka == comparison.unbiased[0, 2]
    assert first.cka_biased == comparison.biased[0, 2]
    second = frame.iloc[1]
    assert (second.model_b, second.tasks_b) == ("b", ["t", "u"])
    assert second.hsic_unbiased == comparison.hsic_unbiased[0, 1]
    assert set(frame.n_examples) == {30}
    assert set(frame.estimator) == {"unbiased"}


def test_default_pairs_are_all(xs):
    assert fastcka.compare(xs).pairs.tolist() == [[0, 1], [0, 2], [1, 2]]
    assert len(fastcka.compare(xs[:1]).to_dataframe()) == 0
    assert fastcka.compare(xs, pairs=[]).pairs.shape == (0, 2)


def test_xarray(comparison):
    dataset = comparison.to_xarray()
    chosen = dataset.cka_unbiased.sel(a="a 0", b="c")
    assert float(chosen) == comparison.unbiased[0, 2]
    assert dataset.model_a.values.tolist()[:2] == ["a", "b"]
    assert dataset.attrs == {"estimator": "unbiased", "n_examples": 30}


def test_save_and_load(comparison, tmp_path):
    path = tmp_path / "result.npz"
    comparison.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["result.npz"]
    loaded = Comparison.load(path)
    for name in ("labels", "estimator", "n_examples", "provenance", "undefined"):
        assert getattr(loaded, name) == getattr(comparison, name)
    for name in ("biased", "unbiased", "hsic_biased", "hsic_unbiased", "pairs"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(comparison, name))
    with np.load(path, allow_pickle=False) as file:
        np.testing.assert_array_equal(file["unbiased"], comparison.unbiased)


def test_a_file_of_version_1_is_read(comparison, tmp_path):
    header = {"format": "fastcka.comparison", "version": 1, "labels": [{"label": "a"}] * 3}
    header |= {"estimator": "biased", "n_examples": 30, "provenance": {}, "undefined": {"1": "why"}}
    names = ("biased", "unbiased", "hsic_biased", "hsic_unbiased", "pairs")
    arrays = {name: getattr(comparison, name) for name in names}
    np.savez(tmp_path / "old.npz", header=np.array(json.dumps(header)), **arrays)
    loaded = Comparison.load(tmp_path / "old.npz")
    np.testing.assert_array_equal(loaded.cka, comparison.biased)
    assert loaded.undefined == {1: "why"}
    assert loaded.feature_corrected is loaded.moments is loaded.inference is None


def test_every_matrix_is_in_tables_and_files(comparison, tmp_path):
    """A matrix that is added to `core.columns` reaches every output."""
    matrix = np.full((3, 3), 0.25)
    given = replace(
        comparison, feature_corrected=matrix, inference=fastcka.Inference(alternative="greater")
    )
    given.save(tmp_path / "r.npz")
    loaded = Comparison.load(tmp_path / "r.npz")
    assert loaded.inference == fastcka.Inference(alternative="greater")
    np.testing.assert_array_equal(loaded.feature_corrected, matrix)
    assert set(loaded.to_dataframe()["feature_corrected"]) == {0.25}
    np.testing.assert_array_equal(loaded.to_xarray()["feature_corrected"].values, matrix)
    without = replace(given, feature_corrected=None)
    without.save(tmp_path / "without.npz")
    assert Comparison.load(tmp_path / "without.npz").feature_corrected is None
    assert "feature_corrected" not in without.to_dataframe()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alternative": "less"}, "alternative: expected one of two-sided, greater; got 'less'"),
        ({"level": 1}, "level: expected a number between 0 and 1, got 1"),
        ({"level": True}, "level: expected a number between 0 and 1, got True"),
    ],
)
def test_options_of_inference_are_checked(options, message):
    with pytest.raises(InputError, match=message):
        fastcka.Inference(**options)


def test_save_keeps_reasons(tmp_path, xs):
    result = fastcka.compare([xs[0], np.ones((30, 2))])
    result.save(tmp_path / "r.npz")
    assert Comparison.load(tmp_path / "r.npz").undefined == result.undefined != {}


def test_labels_that_are_not_json_are_refused(xs, tmp_path):
    result = fastcka.compare(xs, labels=[{"x": object()} for _ in xs])
    with pytest.raises(InputError, match="labels must be JSON values"):
        result.save(tmp_path / "r.npz")
    result = fastcka.compare(xs, labels=[{1: i} for i, _ in enumerate(xs)])
    with pytest.raises(InputError, match="the fields of labels must be text, got 1"):
        result.save(tmp_path / "r.npz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "labels",
    [
        [("m", 0), ("m", 1), "x"],
        [{"layer": ("a", 1)}, {"layer": ["a", 1]}, {"layer": [("a", 1)]}],
        list(np.arange(3)),
    ],
)
def test_labels_are_the_same_in_a_file(xs, labels, tmp_path):
    """JSON alone makes lists of tuples, whose names are "m+0" in place of "m 0"."""
    result = fastcka.compare(xs, labels=labels)
    result.save(tmp_path / "r.npz")
    loaded = Comparison.load(tmp_path / "r.npz")
    assert (loaded.labels, loaded.names) == (result.labels, result.names)
    assert loaded[labels[0], labels[2]] == result.cka[0, 2]
    accumulator = fastcka.Accumulator()
    accumulator.update(xs, labels=labels)
    accumulator.save(tmp_path / "a.npz")
    accumulator = fastcka.Accumulator.load(tmp_path / "a.npz")
    accumulator.update(xs, labels=labels)
    assert accumulator.result().names == result.names


def test_a_label_that_a_file_cannot_keep_is_refused(xs, tmp_path):
    labels = [{"__tuple__": [1, 2]}, "b", {"c": {"__tuple__": 5}}]
    for kept in (labels[:2], labels[1:]):
        with pytest.raises(InputError, match="labels must not have a field '__tuple__'"):
            fastcka.compare(xs[:2], labels=kept).save(tmp_path / "r.npz")


def test_loading_another_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"absent\.npz: No such file"):
        Comparison.load(tmp_path / "absent.npz")
    for name, write in (
        ("text.npz", lambda p: p.write_text("no")),
        ("other.npz", lambda p: np.savez(p, x=np.eye(2))),
        ("short.npz", lambda p: p.write_bytes(b"PK\x03\x04 and no more")),
        ("array.npy", lambda p: np.save(p, np.eye(2))),
        ("pickle.npy", lambda p: np.save(p, np.array([object()]), allow_pickle=True)),
    ):
        write(tmp_path / name)
        with pytest.raises(InputError, match=f"{name} is not a saved comparison") as error:
            Comparison.load(tmp_path / name)
        assert "unpickl" not in str(error.value)
        assert "allow_pickle" not in str(error.value)
    np.savez(
        tmp_path / "new.npz",
        header=np.array('{"format": "fastcka.comparison", "version": 99}'),
        **dict.fromkeys(("biased", "unbiased", "hsic_biased", "hsic_unbiased", "pairs"), np.eye(2)),
    )
    with pytest.raises(InputError, match=r"expected fastcka\.comparison version 1 or 2, got .* 99"):
        Comparison.load(tmp_path / "new.npz")


def test_damaged_files_are_refused(comparison, tmp_path):
    path = tmp_path / "r.npz"
    comparison.save(path)
    whole = path.read_bytes()
    first = whole.index(b"PK\x01\x02")  # of the directory of the zip file
    damage = {"version": (6, 0xFF), "encryption": (8, 0x41), "compression": (10, 99)}
    for place, value in damage.values():
        path.write_bytes(whole[: first + place] + bytes([value]) + whole[first + place + 1 :])
        with pytest.raises(InputError, match=r"r\.npz is not a saved comparison, or is damaged: "):
            Comparison.load(path)
    path.write_bytes(whole)
    with np.load(path) as file:
        arrays = dict(file)
    header = json.loads(str(arrays.pop("header")))
    del header["n_examples"]
    np.savez(path, header=np.array(json.dumps(header)), **arrays)
    with pytest.raises(InputError, match=r"not a saved comparison: it contains no n_examples"):
        Comparison.load(path)


def test_paths_that_cannot_be_written(comparison, tmp_path):
    for name, message in (
        ("nodir/r.npz", r"nodir/r\.npz: cannot be written: No such file"),
        ("r.csv", r"expected a name \*\.npz for a saved comparison, got '.*r\.csv'"),
    ):
        with pytest.raises(InputError, match=message):
            comparison.save(tmp_path / name)
    for name in ("nodir/a.png", "a.xyz"):
        with pytest.raises(InputError, match=f"{name}: cannot be written"):
            comparison.plot(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["r.npz", "a.png", "a.pdf", "a.svg"])
def test_a_failing_disk_keeps_the_old_file(comparison, tmp_path, monkeypatch, name):
    path = tmp_path / name
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(WriteError) as caught:
        (comparison.save if name == "r.npz" else comparison.plot)(path)
    assert str(caught.value) == f"{path}: cannot be written: Input/output error"
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_labels_must_differ(xs):
    with pytest.raises(InputError, match="positions 0 and 2 are both 'a'"):
        fastcka.compare(xs, labels=["a", "b", "a"])


def test_tuple_labels(xs):
    names = fastcka.compare(dict(zip([("m", 0), ("m", 1), "x"], xs, strict=True))).names
    assert names == ["m 0", "m 1", "x"]


def test_plot_writes_a_figure(comparison, tmp_path):
    figure = comparison.plot(tmp_path / "cka.png", title="A title")
    assert (tmp_path / "cka.png").read_bytes().startswith(b"\x89PNG")
    image = figure.axes[0].get_images()[0]
    assert image.get_clim() == (0, 1)
    np.testing.assert_array_equal(image.get_array(), comparison.unbiased)
    image = comparison.plot(estimator="biased").axes[0].get_images()[0]
    np.testing.assert_array_equal(image.get_array(), comparison.biased)


def test_what_is_computed_later_survives_copies(rng):
    """`moments` and `feature_corrected` are computed when they are first read."""
    xs = [rng.standard_normal((30, 4)) @ rng.standard_normal((4, 8)) for _ in range(3)]
    result = fastcka.compare(xs, inference=True)
    unread = pickle.loads(pickle.dumps(result))
    for other in (unread, copy.copy(result), replace(result)):
        np.testing.assert_array_equal(other.feature_corrected, result.feature_corrected)
        np.testing.assert_array_equal(other.p_value, result.p_value)
        assert other.moments.arrays().keys() == result.moments.arrays().keys()
    with pytest.raises(FrozenInstanceError):
        result.moments = None
    bare = replace(result, moments=None, feature_corrected=None)
    assert bare.moments is bare.feature_corrected is bare.z is None
