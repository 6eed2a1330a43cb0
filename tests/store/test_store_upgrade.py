"""Files of format 1.0 can still be read, and are upgraded one by one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from fastcka.cli.app import app
from fastcka.errors import CorruptFileError, StoreError
from fastcka.store import Key, Store, create_store, open_store, upgrade_store
from fastcka.store import upgrade as upgrade_module

STEPS = 3


def answers(path: Path) -> list[object]:
    """Everything that a store returns."""
    store = open_store(path)
    facts: list[object] = [store.factors("m"), store.keys()]
    for key in store.keys():
        examples = store.examples(key)
        columns = {name: column.tolist() for name, column in examples.columns.items()}
        x = store.read(key)
        info = store.info(key)
        facts += [store.provenance("m", key.step), examples.ids.tolist(), columns, x.tobytes()]
        facts += [x.dtype, x.shape, info.digest, info.pooling, info.positional_ids]
        facts += [store.examples_fingerprint(key, ["digit"])]
    return facts


@pytest.fixture
def old(store: Store, as_format_1_0: Callable[[Path], None]) -> list[Path]:
    """The files of a store of format 1.0, with a foreign attribute and group."""
    rng = np.random.default_rng(0)
    for step in range(STEPS):
        store.write(
            model="m",
            step=step,
            layers={"a": rng.normal(size=(9, 4)), "b": rng.normal(size=(9, 2)).astype(np.float16)},
            example_columns={"digit": [3] * 9, "flag": [True] * 9, "text": ["é"] * 9},
            factors={"seed": 1},
            layer_attributes={"b": {"pooling": "mean"}},
        )
    paths = sorted(store.path.glob("models/*/*.h5"))
    for path in paths:
        as_format_1_0(path)
        with h5py.File(path, "r+", libver=("v110", "v110")) as file:
            file.attrs["mood"] = np.bytes_(b"good")
            file.create_group("mine")
    (store.path / "store.json").write_text('{"format": "fastcka.store", "format_version": "1.0"}')
    return paths


def version(path: Path) -> bytes:
    with h5py.File(path) as file:
        return bytes(file.attrs["format_version"])


def test_an_upgrade_keeps_everything_that_is_read(store: Store, old: list[Path]) -> None:
    before = answers(store.path)
    findings = open_store(store.path).verify()
    assert all(f.ok and "fastcka store upgrade" in f.message for f in findings)
    old[0].chmod(0o640)
    results = list(upgrade_store(store.path))
    assert [(r.path, r.kind, r.message) for r in results] == [(p, "upgraded", "") for p in old]
    assert answers(store.path) == before
    assert old[0].stat().st_mode & 0o777 == 0o640
    assert [(f.kind, f.message) for f in open_store(store.path).verify()] == [("ok", "")] * STEPS
    for path in old:
        assert version(path) == b"1.1"
        with h5py.File(path) as file:
            assert file.attrs["mood"] == b"good"
            assert "mine" in file
    assert json.loads((store.path / "store.json").read_text())["format_version"] == "1.1"


def test_an_upgraded_file_has_the_checksums_of_a_new_file(
    tmp_path: Path, as_format_1_0: Callable[[Path], None]
) -> None:
    paths = []
    for name in ("one", "two"):
        store = create_store(tmp_path / name)
        store.write(model="m", step=0, layers={"a": np.eye(5)}, example_columns={"c": [1.5] * 5})
        paths.append(store.info(Key("m", 0, "a")).path)
    as_format_1_0(paths[1])
    list(upgrade_store(tmp_path / "two"))
    with h5py.File(paths[0]) as one, h5py.File(paths[1]) as two:
        assert one.attrs["seal"] == two.attrs["seal"]
        assert one["checksums"][...].tolist() == two["checksums"][...].tolist()


def test_an_upgrade_continues_where_it_stopped(store: Store, old: list[Path]) -> None:
    results = iter(upgrade_store(store.path))
    next(results)
    assert [version(path) for path in old] == [b"1.1", b"1.0", b"1.0"]
    assert open_store(store.path).keys()  # a store with both versions can be read
    untouched = old[0].stat().st_ino
    kinds = [result.kind for result in upgrade_store(store.path)]
    assert kinds == ["current", "upgraded", "upgraded"]
    assert old[0].stat().st_ino == untouched


def test_a_damaged_file_is_kept_and_the_others_are_upgraded(store: Store, old: list[Path]) -> None:
    x = store.read(Key("m", 1, "a"))
    data = old[1].read_bytes()
    old[1].write_bytes(data.replace(x.tobytes(), bytes(x.nbytes)))
    damaged = old[1].read_bytes()
    results = list(upgrade_store(store.path))
    assert [result.kind for result in results] == ["upgraded", "error", "upgraded"]
    assert "write model 'm', step 1, again with overwrite=True" in results[1].message
    assert old[1].read_bytes() == damaged
    assert json.loads((store.path / "store.json").read_text())["format_version"] == "1.0"


def test_an_upgrade_detects_a_hole_that_format_1_0_misses(store: Store, old: list[Path]) -> None:
    """A chunk of zero bytes, with fletcher32 zero, is valid in 1.0 except for the digest."""
    with h5py.File(old[1]) as file:
        chunk = file["layers/0/x"].id.get_chunk_info(0)
    data = bytearray(old[1].read_bytes())
    data[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    old[1].write_bytes(data)
    assert (
        open_store(store.path).read(Key("m", 1, "a")) == 0
    ).all()  # wrong values without an error
    result = list(upgrade_store(store.path))[1]
    assert result.kind == "error"
    assert "the values do not match their digest" in result.message


def test_a_full_disk_keeps_the_old_files(
    store: Store, old: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [path.read_bytes() for path in old]

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(upgrade_module.shutil, "copyfileobj", full)
    results = list(upgrade_store(store.path))
    assert {result.kind for result in results} == {"error"}
    assert results[0].message == f"{old[0]}: cannot be written: No space left on device"
    assert [path.read_bytes() for path in old] == before
    assert not list(old[0].parent.glob(".tmp-*"))


def test_a_file_that_changes_during_the_upgrade_is_kept(
    store: Store, old: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = upgrade_module.put_table

    def replace_first(*arguments: object) -> None:
        real(*arguments)  # type: ignore[arg-type]
        os.utime(old[0])

    monkeypatch.setattr(upgrade_module, "put_table", replace_first)
    result = next(iter(upgrade_store(store.path)))
    assert result.kind == "error"
    assert (
        result.message
        == f"{old[0]}: another process changed the file during the upgrade; upgrade the store again"
    )
    assert version(old[0]) == b"1.0"


def test_a_missing_store_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such store"):
        upgrade_store(tmp_path / "none")


def test_the_command_line(store: Store, old: list[Path]) -> None:
    run = CliRunner().invoke
    assert "3 files of format 1.0" in run(app, ["store", "verify", str(store.path)]).output
    old[1].write_bytes(old[1].read_bytes()[:-50])
    first = run(app, ["store", "upgrade", str(store.path)])
    assert first.exit_code == 1
    assert "2 files upgraded, 0 already had checksums, 1 error" in first.output
    assert str(old[1]) in first.output
    with pytest.raises(CorruptFileError, match="cut off"):
        open_store(store.path).keys()
    old[1].unlink()
    second = run(app, ["store", "upgrade", str(store.path), "--json"])
    assert second.exit_code == 0
    printed = json.loads(second.stdout)
    assert printed == {"store": str(store.path), "upgraded": 0, "current": 2, "errors": []}
    assert "format 1.0" not in run(app, ["store", "verify", str(store.path)]).output
