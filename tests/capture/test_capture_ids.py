"""One rule for example ids: in `Store.write`, `Probe`, its file, and an import."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from fastcka.capture import Probe
from fastcka.errors import InputError
from fastcka.store import Key, create_store

N = 3
X = np.arange(6, dtype=np.float32).reshape(N, 2)

ACCEPTED: dict[str, tuple[Any, list[str]]] = {
    "text": (["a", "b", "c"], ["a", "b", "c"]),
    "a tuple": (("a", "b", "c"), ["a", "b", "c"]),
    "bytes": ([b"a", b"b", "é".encode()], ["a", "b", "é"]),
    "an array of bytes": (np.array(["a", "b", "c"], dtype="S"), ["a", "b", "c"]),
    "an array of text": (np.array(["a", "b", "é"]), ["a", "b", "é"]),
    "an array of objects": (np.array(["a", "b", "c"], dtype=object), ["a", "b", "c"]),
    "integers": ([2, 0, -1], ["2", "0", "-1"]),
    "integers that are large": ([2**70, 0, 1], ["1180591620717411303424", "0", "1"]),
    "an array of integers": (np.array([2, 0, 1], dtype=np.uint8), ["2", "0", "1"]),
    "scalars of NumPy": ([np.int16(2), np.int64(0), 1], ["2", "0", "1"]),
    "a tensor": (torch.tensor([2, 0, 1]), ["2", "0", "1"]),
    "a list of tensors": ([*torch.tensor([2, 0, 1])], ["2", "0", "1"]),
    "a column of pandas": (pd.Series(["a", "b", "c"], index=[5, 6, 7]), ["a", "b", "c"]),
    "an index of pandas": (pd.Index([2, 0, 1]), ["2", "0", "1"]),
    "a range": (range(3), ["0", "1", "2"]),
}
REFUSED: dict[str, tuple[Any, str]] = {
    "floats": (np.arange(3.0), r"\[0\]: expected .* an integer, got 0.0; .*to integers"),
    "a tensor of floats": (torch.arange(3.0), r"\[0\]: .* got 0.0"),
    "a missing value": (["a", None, "c"], r"\[1\]: .* got None"),
    "a missing value of pandas": (pd.Series(["a", np.nan, "c"]), r"\[1\]: .* got nan"),
    "another missing value of pandas": (["a", pd.NA, "c"], r"\[1\]: .* got <NA>"),
    "booleans": ([True, False, True], r"\[0\]: .* got True"),
    "a tensor of booleans": (torch.tensor([True, False, True]), r"\[0\]: .* got True"),
    "dates": (np.arange(3).astype("M8[ns]"), "got datetime64"),
    "scalars that are dates": (list(np.arange(3).astype("M8[ns]")), r"\[0\]: .*datetime64"),
    "paths": ([Path("a"), Path("b"), Path("c")], r"\[0\]: .* PosixPath\('a'\)"),
    "kinds mixed": (["a", 1, "c"], r"text \('a' at 0\) and integers \(1 at 1\)"),
    "bytes among text": (["a", b"b", "c"], "text .* and bytes"),
    "duplicates": (["a", "b", "a"], "got 'a' at 0 and at 2"),
    "duplicates as text": (np.array([b"a", b"b", b"a"]), "got 'a' at 0 and at 2"),
    "empty text": (["a", "", "c"], r"\[1\]: .* got ''"),
    "NUL": (["a", "b\0b", "c"], "without NUL"),
    "too long": (["a", "b" * 5000, "c"], "at most 4096"),
    "an integer that is too long": ([1, 10**9999, 2], r"\[1\]: .*at most 12288 bits"),
    "bytes that are not UTF-8": ([b"a", b"\xff", b"c"], r"\[1\]: .*not UTF-8"),
    "a surrogate": (["a", "\ud800", "c"], "not UTF-8"),
    "two axes": (np.zeros((3, 1), dtype=int), r"shape \(3, 1\)"),
    "no axis": (torch.tensor(3), r"shape \(\)"),
    "masked": (np.ma.array([1, 2, 3], mask=[0, 1, 0]), "masked"),
    "one text": ("abc", "sequence of ids, got str"),
    "a set": ({"a", "b", "c"}, "sequence of ids, got set"),
    "a mapping": ({"a": 1, "b": 2, "c": 3}, "sequence of ids, got dict"),
    "too few": (["a", "b"], "expected 3 ids, one for each row, got 2"),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_ids_become_the_same_text_everywhere(tmp_path: Path, name: str) -> None:
    given, expected = ACCEPTED[name]
    assert Probe(X, given).ids == tuple(expected)
    with create_store(tmp_path / "store") as store:
        store.write(model="m", step=0, layers={"l": X}, example_ids=given)
        examples = store.examples(Key("m", 0, "l"))
    assert examples.ids.tolist() == expected
    assert not examples.positional_ids


@pytest.mark.parametrize("name", REFUSED)
def test_the_same_ids_are_refused_everywhere(tmp_path: Path, name: str) -> None:
    given, message = REFUSED[name]
    with pytest.raises(InputError, match=f"^ids.*{message}"):
        Probe(X, given)
    with (
        create_store(tmp_path / "store") as store,
        pytest.raises(InputError, match=f"^example_ids.*{message}"),
    ):
        store.write(model="m", step=0, layers={"l": X}, example_ids=given)


def test_the_ids_in_the_file_of_a_probe(tmp_path: Path) -> None:
    np.savez(tmp_path / "bytes.npz", inputs=X, ids=np.array(["a", "b", "c"], dtype="S"))
    assert Probe.load(tmp_path / "bytes.npz").ids == ("a", "b", "c")
    np.savez(tmp_path / "floats.npz", inputs=X, ids=np.arange(3.0))
    with pytest.raises(InputError, match=r"floats\.npz: ids\[0\]: .* got 0.0"):
        Probe.load(tmp_path / "floats.npz")
    np.savez(tmp_path / "dates.npz", inputs=X, ids=np.arange(3).astype("M8[ns]"))
    with pytest.raises(InputError, match=r"dates\.npz: ids: .* datetime64"):
        Probe.load(tmp_path / "dates.npz")
