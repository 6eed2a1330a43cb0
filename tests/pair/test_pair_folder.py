"""A folder of results is replaced as a whole, even if the process is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fastcka.errors import InputError, WriteError
from fastcka.pair import folder as module
from fastcka.pair.folder import require_free, write_folder

KNOWN = {"a", "b"}
OLD = {"a": b"old", "b": b"old"}
NEW = {"a": b"new"}


def write(path, files, *, replace=False):
    write_folder(path, files, replace=replace, known=KNOWN, where="output_dir")


def content(path):
    return {file.name: file.read_bytes() for file in path.iterdir()}


def test_results_are_replaced_only_with_overwrite(tmp_path):
    path = tmp_path / "pair" / "layer5"
    require_free(path, replace=False, known=KNOWN, where="output_dir")
    assert not path.parent.exists()  # a check creates nothing
    write(path, OLD)
    assert content(path) == OLD
    with pytest.raises(InputError, match="layer5 holds results already; --overwrite"):
        require_free(path, replace=False, known=KNOWN, where="output_dir")
    with pytest.raises(InputError, match="layer5 holds results already; --overwrite"):
        write(path, NEW)
    assert content(path) == OLD
    write(path, NEW, replace=True)
    assert content(path) == NEW
    assert list(path.parent.iterdir()) == [path]


def test_an_empty_folder_is_free(tmp_path):
    path = tmp_path / "layer5"
    path.mkdir()
    write(path, NEW)
    assert content(path) == NEW


def test_other_files_are_never_replaced(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_bytes(b"years of work")
    with pytest.raises(InputError, match=r"something else than .* \(thesis\.tex\)"):
        write(tmp_path / "home", NEW, replace=True)
    assert content(tmp_path / "home") == {"thesis.tex": b"years of work"}
    with pytest.raises(InputError, match=r"thesis\.tex is a file"):
        write(tmp_path / "home" / "thesis.tex", NEW, replace=True)
    path = tmp_path / "home" / "thesis.tex" / "pair" / "layer5"
    with pytest.raises(InputError, match=r"thesis\.tex is a file"):
        require_free(path, replace=True, known=KNOWN, where="output_dir")


def test_a_failed_write_leaves_the_old_folder(tmp_path, monkeypatch):
    path = tmp_path / "layer5"
    write(path, OLD)
    real = os.fsync

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(WriteError, match=r"layer5: cannot be written: No space left on device"):
        write(path, NEW, replace=True)
    monkeypatch.setattr(module.os, "fsync", real)
    assert content(path) == OLD
    write(path, NEW, replace=True)
    assert content(path) == NEW
    assert list(tmp_path.iterdir()) == [path]


def test_results_are_complete_if_the_lock_cannot_be_removed(tmp_path, monkeypatch):
    path = tmp_path / "layer5"

    def fail(*_args, **_options):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "unlink", fail)
    write(path, OLD)
    assert content(path) == OLD
    with pytest.raises(InputError, match="holds results already"):
        write(path, NEW)
    monkeypatch.undo()
    write(path, NEW, replace=True)
    assert list(tmp_path.iterdir()) == [path]


def test_an_old_folder_that_cannot_be_removed_is_named(tmp_path, monkeypatch):
    path = tmp_path / "layer5"
    write(path, OLD)
    real = module.shutil.rmtree

    def fail(folder, **options):
        if folder.name == ".layer5.old":
            raise OSError(5, "Input/output error", "a")
        real(folder, **options)

    monkeypatch.setattr(module.shutil, "rmtree", fail)
    with pytest.raises(
        WriteError, match=r"\.layer5\.old: cannot be removed: Input/output error: a$"
    ):
        write(path, NEW, replace=True)
    monkeypatch.undo()
    assert content(path) == NEW
    write(path, OLD, replace=True)
    assert content(path) == OLD
    assert list(tmp_path.iterdir()) == [path]


# A fork for each moment: starting an interpreter takes ten times as long.
KILLED = """
import os, signal, sys
from pathlib import Path
from fastcka.pair import folder

calls = 0
def dying(real):
    def call(*arguments, **options):
        global calls
        calls += 1
        if calls == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)
    return call

for owner, name in [(Path, "rename"), (Path, "mkdir"), (Path, "unlink"), (os, "fsync"),
                    (os, "open"), (os, "rmdir"), (os, "unlink"), (folder.shutil, "rmtree")]:
    setattr(owner, name, dying(getattr(owner, name)))
for moment, path in enumerate(sys.argv[1:], 1):
    if os.fork() == 0:
        folder.write_folder(
            Path(path), {"a": b"new"}, replace=True, known={"a", "b"}, where="output_dir"
        )
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def test_kill_9_before_each_change(tmp_path):
    """The next process restores either the old folder or the new one."""
    paths = [tmp_path / str(moment) / "layer5" for moment in range(1, 60)]
    for path in paths:
        write(path, OLD)
    command = [sys.executable, "-c", KILLED, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    statuses = list(map(int, done.stdout.split()))
    assert set(statuses) == {-signal.SIGKILL, 0}, done.stderr
    seen = []
    for path in paths[: statuses.index(0)]:
        with pytest.raises(InputError, match="holds results already"):
            require_free(path, replace=False, known=KNOWN, where="output_dir")
        assert content(path) in (OLD, NEW)
        assert list(path.parent.iterdir()) == [path]
        seen.append(content(path) == NEW)
    # The folder is old before the rename and new afterwards; the kills reached both.
    assert seen == sorted(seen)
    assert set(seen) == {False, True}


def test_writers_at_the_same_time(tmp_path):
    path = tmp_path / "layer5"
    outcomes = []

    def write_bytes_of(number):
        try:
            write(path, {"a": bytes([number]), "b": bytes([number])})
            outcomes.append(number)
        except InputError:
            outcomes.append(None)

    threads = [threading.Thread(target=write_bytes_of, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = (outcome for outcome in outcomes if outcome is not None)
    assert len(outcomes) == 8
    assert content(path) == {"a": bytes([winner]), "b": bytes([winner])}
    assert list(tmp_path.iterdir()) == [path]
