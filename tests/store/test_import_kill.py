"""kill -9 at many moments of an import: the next one keeps finished steps and imports the rest."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from checkpoint_trees import values_of, write_model
from fastcka.store import import_tree, open_store

KILLS = 10
STEPS = tuple(range(0, 1200, 100))
MODELS = ("a", "b")
# A fork for each round: starting an interpreter with torch takes ten times as long as an import.
IMPORTER = """
import os, sys
import torch
from fastcka.store import import_tree
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        print(os.getpid(), flush=True)
        import_tree(sys.argv[1], sys.argv[2])
        os._exit(0)
    os.waitpid(child, 0)
    print("over", flush=True)
"""


def test_kill_at_any_moment_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    for model in MODELS:
        write_model(tmp_path / "tree", model, layers=(3, 4, 5), steps=STEPS)
    whole = import_tree(tmp_path / "tree", tmp_path / "undisturbed")
    assert len(whole.imported) == len(MODELS) * len(STEPS)
    random.seed(3)
    target = tmp_path / "store"
    finished: dict[Path, int] = {}
    grown = 0
    importer = subprocess.Popen(
        [sys.executable, "-c", IMPORTER, str(tmp_path / "tree"), str(target)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert importer.stdin is not None
    assert importer.stdout is not None
    try:
        for _ in range(KILLS):
            print("go", file=importer.stdin, flush=True)
            child = int(importer.stdout.readline())
            time.sleep(random.random() * whole.seconds / 3)
            with suppress(ProcessLookupError):  # the import may be finished
                os.kill(child, signal.SIGKILL)
            assert importer.stdout.readline() == "over\n"
            stored = {path: path.stat().st_mtime_ns for path in target.rglob("[0-9]*.h5")}
            # Every finished step is kept and not written again.
            assert finished.items() <= stored.items()
            grown += len(stored) > len(finished)
            finished = stored
    finally:
        importer.stdin.close()
        importer.wait(10)
        importer.stdout.close()
    print(f"\n{KILLS} kills: {len(finished)} of {len(whole.imported)} steps finished by then")
    assert grown >= 2  # some kills hit an import in progress

    report = import_tree(tmp_path / "tree", target)
    assert len(report.already_there) == len(finished)
    assert set(report.already_there) | set(report.imported) == set(whole.imported)
    assert not set(report.already_there) & set(report.imported)
    stored = {path: path.stat().st_mtime_ns for path in target.rglob("[0-9]*.h5")}
    assert finished.items() <= stored.items()
    with open_store(target) as store, open_store(tmp_path / "undisturbed") as other:
        assert {finding.kind for finding in store.verify()} <= {"ok", "leftover"}
        assert store.keys() == other.keys()
        for key in store.keys():
            np.testing.assert_array_equal(
                store.read(key), values_of(key.model, key.step, int(key.layer))
            )
