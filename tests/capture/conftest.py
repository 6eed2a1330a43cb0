"""Fixtures that the tests of this folder share."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from capture.capture_project import CONFIG, FACTORY, X, weights


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a factory, a probe set, two runs and a configuration; the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    module = f"networks_{abs(hash(tmp_path))}"  # a process imports a name only once
    (tmp_path / f"{module}.py").write_text(FACTORY)
    ids = [f"x{row}" for row in range(9)]
    np.savez(tmp_path / "probe.npz", inputs=X, ids=ids, column_label=np.arange(9))
    small, wide = tmp_path / "runs" / "small", tmp_path / "runs" / "wide"
    small.mkdir(parents=True)
    for step in (0, 10):
        content = {"step": step, "model_state_dict": weights(step)}
        torch.save(content, small / f"checkpoint_step_{step:05d}.pt")
    (wide / "checkpoint-4").mkdir(parents=True)
    save_file(weights(4, 5), wide / "checkpoint-4" / "model.safetensors")
    torch.save({"state_dict": weights(8, 5)}, wide / "epoch=1-step=8.ckpt")
    (tmp_path / "capture.yaml").write_text(CONFIG.format(module=module))
    return tmp_path
