"""kill -9 at many moments of a recording: every file under its final name loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from fastcka.capture import find_checkpoints, read_checkpoint

KILLS = 50
# Forked for each round: a new interpreter that imports torch takes ten times as long. A round ends
# at a random call during three checkpoints, so the speed of the machine does not matter. Every
# other round counts only the calls of fastcka, so that more rounds end between two files.
RECORDING = """
import os, random, signal, sys
import torch
torch.set_num_threads(1)
from fastcka.capture import CheckpointRecorder
plan = {"experiments": {"run": {
    "training_steps": 1_000, "checkpoint_steps": list(range(1, 1_001))}}}
model = torch.nn.Linear(300, 300)

def record(recorder):
    with torch.no_grad():
        model.weight.fill_(recorder.completed + 1)
    recorder.after_update(model, loss=0.5)

def calls_until(last, work):
    calls = 0
    def count(frame, *_):
        nonlocal calls
        calls += round % 2 == 0 or frame.f_globals.get("__name__", "").startswith("fastcka.")
        if calls == last:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.setprofile(count)
    work()
    sys.setprofile(None)
    return calls

for round, folder in enumerate(sys.argv[1:]):
    if os.fork() == 0:
        recorder = CheckpointRecorder(plan, "run", folder)
        record(recorder)
        each = calls_until(None, lambda: record(recorder))
        last = random.Random(round).randrange(1, 3 * each)
        calls_until(last, lambda: [record(recorder) for _ in range(9)])
        os._exit(0)
    _, status = os.wait()
    assert os.WTERMSIG(status) == signal.SIGKILL, status
"""


def test_killed_at_any_moment_every_final_name_loads(tmp_path: Path) -> None:
    folders = [str(tmp_path / str(i)) for i in range(KILLS)]
    subprocess.run([sys.executable, "-c", RECORDING, *folders], check=True)

    whole = unfinished = 0
    for i in range(KILLS):
        folder = tmp_path / str(i) / "run"
        files = find_checkpoints(folder)
        # No step is missing: each file was complete before the next one was begun.
        assert [file.step for file in files] == list(range(1, len(files) + 1))
        for file in files:
            weight = read_checkpoint(file.path).model_state_dict["weight"]
            assert torch.equal(weight, torch.full((300, 300), float(file.step)))
        whole += len(files)
        unfinished += len([path for path in folder.iterdir() if path.name.startswith(".tmp-")])
    print(f"\n{KILLS} kills: {whole} checkpoints, all loaded; {unfinished} unfinished files")
    assert whole > KILLS  # fewer: the kills were too early to test anything
    assert unfinished >= 5
