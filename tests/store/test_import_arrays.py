"""Plain folders of arrays: both layouts, every format, with and without examples."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from fastcka.store import Key, create_store, import_tree, open_store
from store.import_samples import reasons

N = 12


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree").mkdir()
    return tmp_path / "tree"


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    return {name: rng.normal(size=(N, 5)) for name in ("conv10", "conv2", "head")}


def save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".npz":
        np.savez(path, x=values)
    elif path.suffix == ".pt":
        torch.save(torch.from_numpy(values), path)
    elif path.suffix == ".safetensors":
        save_file({"x": values}, path)
    else:
        with h5py.File(path, "w") as file:
            file["x"] = values


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pt", ".safetensors", ".h5", ".hdf5"])
@pytest.mark.parametrize("step", ["20", "checkpoint-20", "step_20", "step_00020"])
def test_a_file_for_each_layer(tree, tmp_path, arrays, suffix, step):
    for name, values in arrays.items():
        save(tree / "runs/cnn" / step / f"{name}{suffix}", values)
    report = import_tree(tree, tmp_path / "store")
    assert report.layout == "folders of arrays"
    assert reasons(report) == [("doubtful", "rows named by position")]
    with open_store(tmp_path / "store") as store:
        assert store.keys() == [Key("cnn", 20, layer) for layer in ("conv2", "conv10", "head")]
        for name, values in arrays.items():
            np.testing.assert_array_equal(store.read(Key("cnn", 20, name)), values)


def test_a_file_for_each_step(tree, tmp_path, arrays):
    for model in ("npz", "pt", "safetensors", "h5"):
        (tree / model).mkdir()
    np.savez(tree / "npz/0.npz", **arrays)
    torch.save(
        {name: torch.from_numpy(values) for name, values in arrays.items()}, tree / "pt/step_0.pt"
    )
    save_file(arrays, tree / "safetensors/0.safetensors")
    with h5py.File(tree / "h5/0.h5", "w") as file:
        for name, values in arrays.items():
            file[f"block/{name}"] = values
    import_tree(tree, tmp_path / "store")
    with open_store(tmp_path / "store") as store:
        layers = {model: [key.layer for key in store.keys() if key.model == model]
                  for model in store.models()}  # fmt: skip
        assert layers["npz"] == layers["pt"] == ["conv10", "conv2", "head"]  # as in the file
        assert layers["safetensors"] == ["conv2", "conv10", "head"]
        assert layers["h5"] == ["block/conv2", "block/conv10", "block/head"]
        for key in store.keys():
            values = arrays[key.layer.rpartition("/")[2]]
            np.testing.assert_array_equal(store.read(key), values)


@pytest.mark.parametrize("where", ["m/7", "m", "."])
@pytest.mark.parametrize("kind", ["json", "csv"])
def test_examples_give_ids_and_columns(tree, tmp_path, arrays, where, kind):
    save(tree / "m/7/conv2.npy", arrays["conv2"])
    rows = [{"id": f"e{row}", "digit": row % 10, "size": row + 0.5} for row in range(N)]
    path = tree / where / f"examples.{kind}"
    if kind == "json":
        path.write_text(json.dumps(rows))
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["id", "digit", "size"])
            writer.writeheader()
            writer.writerows(rows)
    report = import_tree(tree, tmp_path / "store")
    assert report.findings == ()
    assert report.id_fields == {"id": 1}
    with open_store(tmp_path / "store") as store:
        examples = store.examples(Key("m", 7, "conv2"))
    assert examples.ids.tolist() == [f"e{row}" for row in range(N)]
    assert list(examples.columns) == ["digit", "size"]
    assert examples.columns["digit"].tolist() == [row % 10 for row in range(N)]
    assert examples.columns["size"].dtype == np.float64

    path.write_text(path.read_text().replace("e11", "e12"))  # one of the step's files
    assert reasons(import_tree(tree, tmp_path / "store")) == [("skipped", "changed files")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("id,digit\na,1\nb\n", "unreadable file"),
        ("", "unreadable file"),
        ("id\n" + "a\n" * N, "duplicate ids"),
        ("id\n" + "".join(f"{row}\n" for row in range(N - 1)), "row counts differ"),
    ],
)
def test_examples_that_do_not_fit_refuse_the_step(tree, tmp_path, arrays, text, reason):
    save(tree / "m/7/conv2.npy", arrays["conv2"])
    (tree / "m/examples.csv").write_text(text)
    report = import_tree(tree, tmp_path / "store")
    assert reasons(report) == [("skipped", reason)]
    assert report.imported == ()


def test_files_outside_the_layout_are_reported(tree, tmp_path, arrays):
    x = arrays["head"]
    save(tree / "m/7/head.npy", x)
    save(tree / "m/8.npy", x)  # no name for the layer
    save(tree / "m/final/head.npy", x)  # no step
    save(tree / "m/9/head.npy", x)
    save(tree / "m/step_9/head.npy", x)  # one step twice
    save(tree / "m/10/head.npy", x)
    save(tree / "m/10/head.npz", x)  # one layer twice
    save(tree / "m/11/head.npy", x)
    save(tree / "m/11/flat.npy", x[:, 0])
    save(tree / "m/12/head.npy", x)
    save(tree / "m/12/short.npy", x[:5])
    np.savez(tree / "m/7/two.npz", a=x, b=x)
    with create_store(tree / "a-store") as store:
        store.write(model="stored", step=0, layers={"a": x})
    report = import_tree(tree, tmp_path / "store")
    skipped = {(finding.step, finding.layer): finding.reason for finding in report.skipped}
    paths = [finding.detail for finding in report.skipped if finding.step is None]
    assert [Path(detail.split(":")[0]).name for detail in paths] == ["8.npy", "head.npy"]
    del skipped[None, None]
    assert skipped == {
        (7, "two"): "unreadable file",
        (9, None): "two paths for one step",
        (10, None): "two files for one layer",
        (11, "flat"): "not a representation",
        (12, None): "row counts differ",
    }
    assert report.imported == (("m", 7), ("m", 11))
