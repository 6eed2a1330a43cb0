"""Files are complete or absent, and every disk error names the file."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import pytest

from fastcka import files
from fastcka.errors import FastckaError, UnsyncedError, WriteError
from fastcka.files import (
    is_temporary,
    make_folder,
    new_file,
    remove_file,
    replaced_file,
    replaced_stream,
    write_errors,
)


def failing(code):
    def fail(*_args, **_options):
        raise OSError(code, os.strerror(code))

    return fail


def replace(path, text):
    with replaced_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text("old", encoding="utf-8")
    return path


def test_a_failed_write_leaves_the_old_file(old):
    def fail():
        with replaced_file(old) as temporary:
            temporary.write_text("half", encoding="utf-8")
            raise OSError(28, "No space left on device")

    with pytest.raises(WriteError) as caught:
        fail()
    assert str(caught.value) == f"{old}: cannot be written: No space left on device"
    assert caught.value.errno == errno.ENOSPC
    assert isinstance(caught.value, FastckaError)
    assert old.read_text(encoding="utf-8") == "old"
    assert list(old.parent.iterdir()) == [old]


def test_the_new_file_replaces_the_old_one(old):
    with replaced_file(old) as temporary:
        temporary.write_text("new", encoding="utf-8")
        assert is_temporary(temporary.name)
        assert temporary.suffix == ".csv"
        assert old.read_text(encoding="utf-8") == "old"
    assert old.read_text(encoding="utf-8") == "new"
    assert list(old.parent.iterdir()) == [old]


@pytest.mark.parametrize("call", ["fsync", "open", "replace"])
def test_each_failing_call_is_an_error_that_names_the_file(old, monkeypatch, call):
    monkeypatch.setattr(files.os, call, failing(errno.EIO))
    with pytest.raises(WriteError) as caught:
        replace(old, "new")
    monkeypatch.undo()
    assert str(caught.value) == f"{old}: cannot be written: Input/output error"
    assert old.read_text(encoding="utf-8") == "old"
    assert list(old.parent.iterdir()) == [old]


def test_a_link_that_fails_names_the_file(tmp_path, monkeypatch):
    path = tmp_path / "1.h5"
    monkeypatch.setattr(files.os, "link", failing(errno.EIO))
    with (
        pytest.raises(WriteError, match=r"1\.h5: cannot be written: Input/output error$"),
        new_file(path) as temporary,
    ):
        temporary.touch()
    assert not list(tmp_path.iterdir())


def test_an_error_names_the_other_file_that_failed(old, tmp_path):
    other = tmp_path / "source.csv"
    with pytest.raises(WriteError) as caught, replaced_file(old):
        other.read_text(encoding="utf-8")
    assert str(caught.value) == f"{old}: cannot be written: No such file or directory: {other}"


def test_a_failed_cleanup_hides_neither_the_error_nor_the_success(old, monkeypatch):
    monkeypatch.setattr(Path, "unlink", failing(errno.EIO))
    replace(old, "new")
    assert old.read_text(encoding="utf-8") == "new"
    with pytest.raises(ZeroDivisionError), replaced_file(old):
        _ = 1 / 0
    with pytest.raises(WriteError, match="No space left"), replaced_file(old):
        failing(errno.ENOSPC)()


def test_a_claim_that_cannot_be_removed_does_not_hide_the_success(tmp_path, monkeypatch):
    path = tmp_path / "1.h5"
    monkeypatch.setattr(files.os, "link", failing(errno.EPERM))  # no hard links
    monkeypatch.setattr(Path, "unlink", failing(errno.EIO))
    with new_file(path) as temporary:
        temporary.write_text("new", encoding="utf-8")
    assert path.read_text(encoding="utf-8") == "new"


def failing_sync_of(folder):
    real = files._sync

    def sync(path):
        if path == folder:
            failing(errno.EIO)()
        real(path)

    return sync


def test_a_folder_that_cannot_be_synced(old, monkeypatch):
    monkeypatch.setattr(files, "_sync", failing_sync_of(old.parent))
    with pytest.raises(UnsyncedError) as caught:
        replace(old, "new")
    assert str(caught.value) == (
        f"{old}: written in full, but the sync of its folder failed (Input/output error): a power "
        "cut may lose it"
    )
    assert isinstance(caught.value, WriteError)
    assert old.read_text(encoding="utf-8") == "new"


class Careless:
    """A library that writes in three parts, and reports a failure or not."""

    def __init__(self, reports):
        self.reports = reports

    def save(self, file):
        for _ in range(3):
            try:
                file.write(b"x" * 100_000)
                file.flush()
            except OSError as error:
                if self.reports:
                    raise RuntimeError("unexpected pos 64 vs 0") from error


@pytest.mark.parametrize("reports", [True, False])
@pytest.mark.parametrize("failing_call", [1, 2, 3])
def test_a_library_that_hides_the_failure(old, monkeypatch, failing_call, reports):
    """The disk fails once. The calls before and after it succeed."""
    calls = iter(range(1, 100))

    class Disk(io.FileIO):
        def write(self, data):
            if next(calls) == failing_call:
                failing(errno.ENOSPC)()
            return super().write(data)

    class QuietFile(files.QuietFile, Disk):
        """Writes to the failing disk: `Disk` is next in the method resolution order."""

    monkeypatch.setattr(files, "QuietFile", QuietFile)
    with pytest.raises(WriteError) as caught, replaced_stream(old) as file:
        Careless(reports).save(file)
    assert str(caught.value) == f"{old}: cannot be written: No space left on device"
    assert old.read_text(encoding="utf-8") == "old"
    assert list(old.parent.iterdir()) == [old]


def test_other_errors_of_the_library_are_kept(old):
    with pytest.raises(RuntimeError, match="not the disk"), replaced_stream(old):
        raise RuntimeError("not the disk")
    assert old.read_text(encoding="utf-8") == "old"


def test_folders(tmp_path, monkeypatch):
    deep = tmp_path / "a" / "b" / "c"
    make_folder(deep)
    make_folder(deep)
    assert deep.is_dir()
    (deep / "file").touch()
    for path in (deep / "file", deep / "file" / "d", deep / "file" / "d" / "e"):
        with pytest.raises(WriteError, match=f"{path}: cannot be made: Not a directory"):
            make_folder(path)
    monkeypatch.setattr(files, "_sync", failing_sync_of(deep))
    for _ in range(2):  # the first attempt removes the folder; else the second would not sync
        with pytest.raises(WriteError, match=r"c/new: cannot be made: Input/output error$"):
            make_folder(deep / "new")


def test_a_parent_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_sync", failing_sync_of(tmp_path))
    with pytest.raises(WriteError, match=r"a/b: cannot be made: Input/output error"):
        make_folder(tmp_path / "a" / "b")


def test_remove_file(old, monkeypatch):
    monkeypatch.setattr(Path, "unlink", failing(errno.EIO))
    with pytest.raises(WriteError, match=r"results\.csv: cannot be removed: Input/output error$"):
        remove_file(old)
    monkeypatch.undo()
    remove_file(old)
    remove_file(old)
    assert not old.exists()


def test_an_error_of_fastcka_is_not_renamed(tmp_path):
    inner = WriteError(errno.EIO, "cannot be made: Input/output error", "inner")
    with pytest.raises(WriteError, match=r"^inner: cannot be made"), write_errors(tmp_path):
        raise inner
