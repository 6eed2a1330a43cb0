"""Several writers of one step, and file systems and disks with faults."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fastcka.errors import KeyExistsError, StoreError
from fastcka.files import make_folder, new_file, replaced_file
from fastcka.store import Key, Store

WRITERS = 3
WRITER = """
import sys
import numpy as np
from fastcka.errors import KeyExistsError
from fastcka.store import create_store
store = create_store(sys.argv[1], exist_ok=True)
print("up", flush=True)
for line in sys.stdin:
    try:
        x = np.full((4, 2), float(sys.argv[2]))
        store.write(model="race", step=int(line), layers={"a": x})
        print("written", flush=True)
    except KeyExistsError as error:
        named = f"model 'race' at step {int(line)}" in str(error)
        print("refused" if named else error, flush=True)
"""


def without_links(*_: object) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def try_to_write(store: Store, step: int, value: float) -> str:
    """Return the outcome of a write without overwrite."""
    try:
        store.write(model="race", step=step, layers={"a": np.full((4, 2), float(value))})
    except KeyExistsError as error:
        return "refused" if f"model 'race' at step {step}" in str(error) else str(error)
    return "written"


def check_races(store: Store, outcomes: list[list[str]]) -> None:
    """Check that each step has one winner, whose values are stored."""
    for step, ends in enumerate(zip(*outcomes, strict=True)):
        assert Counter(ends) == {"written": 1, "refused": WRITERS - 1}
        values = store.read(Key("race", step, "a"))
        assert (values == ends.index("written")).all()
    assert {finding.kind for finding in store.verify()} == {"ok"}  # no temporary is left


@pytest.mark.parametrize("links", [True, False])
def test_one_of_several_threads_writes_a_step(
    store: Store, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", without_links)
    races = 60
    barrier = threading.Barrier(WRITERS)
    outcomes: list[list[str]] = [[] for _ in range(WRITERS)]

    def work(writer: int) -> None:
        for step in range(races):
            barrier.wait(30)
            outcomes[writer].append(try_to_write(store, step, writer))

    threads = [threading.Thread(target=work, args=(writer,)) for writer in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check_races(store, outcomes)


def test_one_of_several_processes_writes_a_step(store: Store) -> None:
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(store.path), str(writer)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for writer in range(WRITERS)
    ]
    outcomes: list[list[str]] = [[] for _ in workers]
    try:
        for step in range(-1, 40):  # the first lines report that all are running
            for worker in workers if step >= 0 else ():
                print(step, file=worker.stdin, flush=True)
            for writer, worker in enumerate(workers):
                assert worker.stdout is not None
                outcomes[writer].append(worker.stdout.readline().strip())
    finally:
        for worker in workers:
            worker.communicate(timeout=60)
    assert [ends.pop(0) for ends in outcomes] == ["up"] * WRITERS
    check_races(store, outcomes)


def test_a_file_that_another_writer_names_first_is_kept(
    store: Store, values: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other writer finishes just before this one names its file."""
    real = os.link

    def overtaken(*names: Path) -> None:
        monkeypatch.setattr(os, "link", real)
        store.write(model="m", step=0, layers={"a": values})
        real(*names)

    monkeypatch.setattr(os, "link", overtaken)
    with pytest.raises(
        KeyExistsError, match="model 'm' at step 0; pass overwrite=True to replace it"
    ):
        store.write(model="m", step=0, layers={"a": values + 1})
    np.testing.assert_array_equal(store.read(Key("m", 0, "a")), values)


def test_a_claim_of_a_killed_writer_is_named(
    store: Store, values: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", without_links)
    store.write(model="m", step=0, layers={"a": values})
    folder = store.info(Key("m", 0, "a")).path.parent
    (folder / ".tmp-claim-1.h5").touch()
    with pytest.raises(
        KeyExistsError, match=r"started to write model 'm' at step 1; .*\.tmp-claim-1\.h5"
    ):
        store.write(model="m", step=1, layers={"a": values})
    assert {finding.kind for finding in store.verify()} == {"ok", "leftover"}
    (folder / ".tmp-claim-1.h5").unlink()
    store.write(model="m", step=1, layers={"a": values})


def test_a_link_that_is_made_but_reported_as_existing_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.link

    def repeated(*names: Path) -> None:  # NFS repeats a call whose answer is lost
        real(*names)
        real(*names)

    monkeypatch.setattr(os, "link", repeated)
    with new_file(tmp_path / "a") as temporary:
        temporary.write_text("new", encoding="utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def failing_folders(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Make fsync fail for folders."""
    real = os.fsync

    def fsync(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(number, os.strerror(number))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_failed_sync_of_the_folder_has_a_separate_error(
    store: Store, values: np.ndarray, overwrite: bool
) -> None:
    store.write(model="m", step=0, layers={"a": values})
    with pytest.MonkeyPatch.context() as patch:
        failing_folders(patch, errno.EIO)
        with pytest.raises(StoreError) as caught:
            store.write(model="m", step=1, layers={"a": values}, overwrite=overwrite)
    path = store.info(Key("m", 1, "a")).path
    assert str(caught.value) == (
        f"{path}: written in full, but the sync of its folder failed (Input/output error): a power "
        "cut may lose it; once the disk works, write it again with overwrite=True"
    )
    np.testing.assert_array_equal(store.read(Key("m", 1, "a")), values)
    assert {finding.kind for finding in store.verify()} == {"ok"}
    store.write(model="m", step=1, layers={"a": values}, overwrite=True)


def test_a_new_folder_is_removed_if_its_sync_fails(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        failing_folders(patch, errno.EIO)
        with pytest.raises(OSError, match="Input/output"):
            make_folder(tmp_path / "a")
    assert not (tmp_path / "a").exists()  # a second try creates and syncs it


def test_a_file_system_without_sync_of_folders_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_folders(monkeypatch, errno.EINVAL)
    make_folder(tmp_path / "a")
    with replaced_file(tmp_path / "a" / "b") as temporary:
        temporary.touch()
    assert (tmp_path / "a" / "b").exists()
