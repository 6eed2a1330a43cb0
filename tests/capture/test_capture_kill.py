"""kill -9 at many moments of a recording: every file under its final name loads."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import torch

from fastcka.capture import find_checkpoints, read_checkpoint

KILLS = 50
# Forked for each round: a new interpreter that imports torch takes ten times as long.
RECORDING = """
import os, sys
import torch
torch.set_num_threads(1)
from fastcka.capture import CheckpointRecorder
plan = {"experiments": {"run": {
    "training_steps": 1_000, "checkpoint_steps": list(range(1, 1_001))}}}
model = torch.nn.Linear(300, 300)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        recorder = CheckpointRecorder(plan, "run", line.strip())
        print(os.getpid(), flush=True)
        while True:
            with torch.no_grad():
                model.weight.fill_(recorder.completed + 1)
            recorder.after_update(model, loss=0.5)
    os.waitpid(child, 0)
    print("over", flush=True)
"""


def test_killed_at_any_moment_every_final_name_loads(tmp_path: Path) -> None:
    random.seed(5)
    process = subprocess.Popen(
        [sys.executable, "-c", RECORDING],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        for i in range(KILLS):
            print(tmp_path / str(i), file=process.stdin, flush=True)
            child = int(process.stdout.readline())
            time.sleep(random.random() * 0.2)
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            assert process.stdout.readline() == "over\n"
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()

    whole = unfinished = 0
    for i in range(KILLS):
        folder = tmp_path / str(i) / "run"
        found = find_checkpoints(folder)
        # None is left out between others: each was there before the next was begun.
        assert [file.step for file in found] == list(range(1, len(found) + 1))
        for file in found:
            weight = read_checkpoint(file.path).model_state_dict["weight"]
            assert torch.equal(weight, torch.full((300, 300), float(file.step)))
        whole += len(found)
        unfinished += len([path for path in folder.iterdir() if path.name.startswith(".tmp-")])
    print(f"\n{KILLS} kills: {whole} checkpoints, all loaded; {unfinished} unfinished files")
    assert whole > KILLS  # else the kills came too early to show anything
    assert unfinished >= 5
