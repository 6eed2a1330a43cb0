"""Paths that a caller passes to stores and saved comparisons."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import numpy as np
import pytest

import fastcka
from fastcka import Comparison, create_store, open_store
from fastcka.errors import FastckaError, InputError, NoStoreError
from fastcka.store import import_tree
from fastcka.sweep import load_sweep

CALLS = {
    "create_store": create_store,
    "open_store": open_store,
    "import_tree": lambda path: import_tree(path, None),
    "load": Comparison.load,
    "save": lambda path: fastcka.compare([np.eye(4), np.eye(4)[::-1]]).save(path),
}


@pytest.mark.parametrize("name", CALLS)
def test_what_is_no_path(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in (None, 3, b"x.npz", ["x.npz"], io.BytesIO()):
        kind = type(path).__name__
        with pytest.raises(InputError, match=f"expected text or a pathlib.Path, .* type {kind}$"):
            CALLS[name](path)
    with pytest.raises(InputError, match="expected no null character"):
        CALLS[name]("x\0.npz")
    for path in ("~/x.npz", Path("~/x.npz"), "~"):
        with pytest.raises(InputError, match=r"~ is not expanded: .*\.expanduser\(\), got '~"):
            CALLS[name](path)
    assert not any(tmp_path.iterdir())  # in particular, no folder "~"


def test_a_configuration_does_not_expand_a_path(tmp_path):
    for key, values in {"store": ("~/st", "out"), "output": ("st", "~/out")}.items():
        store, output = values
        (tmp_path / "sweep.yaml").write_text(
            f"store: {store}\noutput: {output}\ncompare: {{within: [layer]}}\n"
        )
        with pytest.raises(FastckaError, match=f"{key}: expected a path without ~"):
            load_sweep(tmp_path / "sweep.yaml")


def test_a_folder_of_that_name_can_be_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    create_store("./~/st")
    assert (tmp_path / "~" / "st").is_dir()


def test_stores_that_the_system_refuses(tmp_path, monkeypatch):
    with pytest.raises(NoStoreError, match="cannot be read: File name too long"):
        open_store(tmp_path / ("a" * 5000))

    def refuse(path: object, **_: object) -> os.stat_result:  # root may read everything
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "stat", refuse)
    with pytest.raises(NoStoreError, match="s: cannot be read: Permission denied"):
        open_store(tmp_path / "s")


def test_trees_that_are_none(tmp_path):
    (tmp_path / "file").write_text("x")
    for path, problem in (
        ("file", "a file"),
        ("absent", "no such folder"),
        ("a" * 5000, "no such"),
    ):
        with pytest.raises(InputError, match=f"{problem}.*; expected the folder of a tree"):
            import_tree(tmp_path / path, None)
    (tmp_path / "tree" / "m").mkdir(parents=True)
    with pytest.raises(InputError, match=r"<step>\.npz \(or one of .*\.parquet, \.zarr\)"):
        import_tree(tmp_path / "tree", None)
