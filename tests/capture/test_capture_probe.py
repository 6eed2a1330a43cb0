"""The probe set: wrong arguments, its file, and its digest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fastcka.capture import Probe
from fastcka.errors import InputError

X = np.arange(6.0).reshape(3, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inputs": {}}, "got an empty mapping"),
        ({"inputs": {"a": [1]}}, "a: expected a torch tensor or a numpy array, got list"),
        (
            {"inputs": {"a": X, "b": X[:2]}},
            r"expected equal numbers of examples, got .*'a': 3, 'b': 2",
        ),
        ({"inputs": X, "ids": ["a", "b"]}, "ids: expected 3 ids.*got 2"),
        ({"inputs": X, "ids": ["a", "b", "a"]}, "ids: expected unique ids, got 'a' at 0 and at 2"),
        ({"inputs": X, "ids": [1, "1", 2]}, r"ids: .* integers \(1 at 0\) and text \('1' at 1\)"),
        ({"inputs": X, "columns": {"digit": [1]}}, r"columns\['digit'\]: expected 3 values.*got 1"),
        ({"inputs": X, "mask": np.ones(3)}, r"\(n_examples, n_tokens\).*got \(3,\)"),
        ({"inputs": X, "mask": [[1, 0]] * 3}, "mask: expected a torch tensor.*got list"),
        ({"inputs": X, "mask": X}, "mask: expected 1 where a token is real and 0"),
        ({"inputs": X, "mask": np.ones((2, 2))}, r"with 3 examples, got \(2, 2\)"),
        (
            {"inputs": X, "ids": ["a", "b", "c"], "mask": np.array([[1, 0], [0, 0], [0, 1]])},
            "got none in 'b'",
        ),
    ],
)
def test_what_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Probe(**arguments)


def test_the_digest_depends_on_all_that_determines_the_rows() -> None:
    base: dict[str, Any] = {"inputs": X, "ids": ["a", "b", "c"], "columns": {"digit": [1, 2, 3]}}
    different = [
        base,
        base | {"inputs": X + 1e-9},
        base | {"inputs": X[::-1]},
        base | {"inputs": X.astype(np.float32)},
        base | {"inputs": {"inputs_embeds": X}},
        base | {"ids": ["a", "c", "b"]},
        base | {"mask": np.ones((3, 2))},
        base | {"columns": {"digit": [1, 2, 4]}},
        base | {"columns": {"label": [1, 2, 3]}},
    ]
    digests = [Probe(**arguments).digest for arguments in different]
    assert len(set(digests)) == len(different)
    assert (
        Probe(np.asfortranarray(X), ["a", "b", "c"], columns={"digit": [1, 2, 3]}).digest
        == (digests[0])
    )


def test_a_batch_is_a_copy() -> None:
    probe = Probe({"a": X, "b": torch.from_numpy(X.copy())})
    args, kwargs = probe.batch(slice(1, 3), None)
    assert args == []
    for tensor in kwargs.values():
        assert tensor.tolist() == [[2, 3], [4, 5]]
        tensor.zero_()
    assert probe.batch(slice(1, 2), None)[1]["b"].tolist() == [[2, 3]]


def test_the_first_example() -> None:
    mask = np.array([[0, 1], [1, 1], [1, 0]])
    for inputs in (X, {"a": X, "mask": mask}):
        first = Probe(inputs, mask=mask, batch_axis=1).first()
        args, kwargs = first.batch(slice(0, 1), None)
        tensors = [*args, *kwargs.values()]
        assert tensors[0].tolist() == [[0.0], [1.0]]
        real = first.masks.real_tokens("mask", slice(0, 1), torch.device("cpu"))
        assert real.tolist() == [[False, True]]
    assert Probe({"a": X, "mask": mask}).first().masks.given is None


def test_read_from_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", inputs=X, ids=np.array(["a", "b", "c"]), column_digit=[7, 8, 9])
    probe = Probe.load(tmp_path / "one.npz")
    assert (probe.ids, probe.columns, probe.mask) == (("a", "b", "c"), {"digit": [7, 8, 9]}, None)
    assert probe.batch(slice(0, 3), None)[0][0].tolist() == X.tolist()

    mask = np.array([[1, 1], [1, 0], [0, 1]])
    np.savez(tmp_path / "two.npz", input_ids=X.astype(np.int64), attention_mask=mask, ids=[5, 6, 7])
    probe = Probe.load(tmp_path / "two.npz")
    assert probe.ids == ("5", "6", "7")
    assert set(probe.batch(slice(0, 1), None)[1]) == {"input_ids", "attention_mask"}
    real = probe.masks.real_tokens("attention_mask", slice(0, 3), torch.device("cpu"))
    assert real.tolist() == [[True, True], [True, False], [False, True]]


def test_files_that_are_not_probe_sets(tmp_path: Path) -> None:
    np.savez(tmp_path / "both.npz", inputs=X, input_ids=X)
    np.savez(tmp_path / "ids.npz", ids=[1, 2, 3])
    np.savez(tmp_path / "object.npz", inputs=np.array([{}, {}], dtype=object))
    np.savez(tmp_path / "text.npz", inputs=np.array(["a", "b"]))
    np.save(tmp_path / "single.npy", X)
    (tmp_path / "half.npz").write_bytes((tmp_path / "both.npz").read_bytes()[:100])
    for name, message in (
        ("absent.npz", "cannot be read"),
        ("half.npz", "cannot be read"),
        ("object.npz", "cannot be read"),
        ("single.npy", "single array"),
        ("both.npz", "got inputs and input_ids"),
        ("text.npz", "expected numbers or booleans, got <U1"),
        ("ids.npz", "got an empty mapping"),
    ):
        with pytest.raises(InputError, match=rf"{name}.*{message}"):
            Probe.load(tmp_path / name)
