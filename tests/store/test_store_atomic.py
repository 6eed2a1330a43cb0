"""After a crash, a kill or a full disk, each file is the old one or the new one."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fastcka.errors import InputError
from fastcka.store import Key, Store, open_store

# A fork for each line of its input: starting an interpreter takes ten times as long.
WRITER = """
import os, sys
import numpy as np
from fastcka.store import create_store
store = create_store(sys.argv[1], exist_ok=True)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        version = int(line) * 1_000_000
        while True:
            for step in range(4):
                version += 1
                x = np.full((3000, 64), version, dtype=np.float64)
                store.write(model="m", step=step, layers={"a": x}, overwrite=True)
    print(child, flush=True)
    os.waitpid(child, 0)
    print("over", flush=True)
"""


def test_kill_at_any_moment_leaves_whole_files(tmp_path: Path) -> None:
    random.seed(5)
    leftovers = 0
    newest = [0.0] * 4
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path / "s")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdin is not None
    assert writer.stdout is not None
    try:
        for round_ in range(1, 21):
            print(round_, file=writer.stdin, flush=True)
            child = int(writer.stdout.readline())
            time.sleep(0.03 + random.random() * 0.06)
            os.kill(child, signal.SIGKILL)
            assert writer.stdout.readline() == "over\n"  # the child has ended
            store = open_store(tmp_path / "s")
            findings = store.verify()
            assert [f.message for f in findings if f.kind not in ("ok", "leftover")] == []
            leftovers += sum(f.kind == "leftover" for f in findings)
            keys = store.keys()
            for key in keys:
                values = store.read(key)
                assert values.shape == (3000, 64)
                assert values.min() == values.max()  # one version
                assert values[0, 0] >= newest[key.step]  # not an older version
                newest[key.step] = values[0, 0]
            for finding in findings:
                if finding.kind == "leftover":
                    finding.path.unlink()
    finally:
        writer.stdin.close()
        writer.wait(10)
        writer.stdout.close()
    print(f"\n20 kills: {leftovers} leftover temporaries, 0 broken files")
    assert newest[0] > 0
    assert leftovers > 0  # some kills hit a write


LIMITED = """
import resource, sys
import numpy as np
from fastcka.errors import StoreError
from fastcka.store import create_store
store = create_store(sys.argv[1], exist_ok=True)
for limit in (0, 100, 2_000, 50_000, 150_000, 161_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        store.write(model="m", step=0, layers={"a": np.ones((200, 100))}, overwrite=True)
    except StoreError as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert (store.read(store.keys()[0]) == 0).all()
    assert [finding.kind for finding in store.verify()] == ["ok"]
store.write(model="m", step=0, layers={"a": np.ones((200, 100))}, overwrite=True)
"""


def test_a_full_disk_keeps_the_old_file(store: Store) -> None:
    store.write(model="m", step=0, layers={"a": np.zeros((200, 100))})
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(store.path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # HDF5 does not see the failure: see sink.py
    messages = done.stdout.splitlines()
    assert len(messages) == 6
    for message in messages:
        assert message.endswith("0.h5: cannot be written: File too large")
    assert (store.read(Key("m", 0, "a")) == 1).all()


def test_a_refused_write_leaves_no_trace(store: Store, values: np.ndarray) -> None:
    store.write(model="m", step=0, layers={"a": values})
    bad = values.copy()
    bad[3, 3] = np.nan
    with pytest.raises(InputError):
        store.write(model="m", step=0, layers={"a": values + 1, "b": bad}, overwrite=True)
    np.testing.assert_array_equal(store.read(Key("m", 0, "a")), values)
    assert store.verify()[0].ok
    assert len(store.verify()) == 1


# Python drops an interrupt in the callback of a weak reference, with a warning.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_during_a_write_leaves_no_trace(store: Store, values: np.ndarray) -> None:
    store.write(model="m", step=0, layers={"a": values})

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    large = np.ones((3000, 2000))
    before = signal.signal(signal.SIGALRM, interrupt)
    interrupted = 0
    try:
        for delay in np.linspace(0.005, 0.05, 10):
            signal.setitimer(signal.ITIMER_REAL, delay)
            try:
                store.write(model="m", step=0, layers={"a": large}, overwrite=True)
                signal.setitimer(signal.ITIMER_REAL, 0)
                store.write(model="m", step=0, layers={"a": values}, overwrite=True)
            except KeyboardInterrupt:
                interrupted += 1
            assert [finding.kind for finding in store.verify()] == ["ok"]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupted > 0
    np.testing.assert_array_equal(store.read(Key("m", 0, "a")), values)


def test_readers_ignore_a_temporary_and_verify_reports_it(store: Store, values: np.ndarray) -> None:
    store.write(model="m", step=0, layers={"a": values})
    folder = store.info(Key("m", 0, "a")).path.parent
    (folder / ".tmp-00ff-1.h5").write_bytes(b"half a file")
    (folder / "notes.txt").write_text("mine")
    (store.path / "models" / "stray.h5").touch()
    assert store.steps("m") == [0]
    findings = {f.path.name: f for f in store.iter_verify()}
    assert len(store.iter_verify()) == 4
    assert {name: f.kind for name, f in findings.items()} == {
        "0.h5": "ok",
        ".tmp-00ff-1.h5": "leftover",
        "notes.txt": "unexpected",
        "stray.h5": "unexpected",
    }
    assert "delete it unless a write is running" in findings[".tmp-00ff-1.h5"].message
