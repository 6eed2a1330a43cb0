"""The pages on Hugging Face models and on trainers: their examples run, their tables are whole."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import fastcka
from capture.pretrained_samples import SENTENCES, bert, capture, save, tokenizer, transformers
from fastcka.capture.config import load_capture
from fastcka.capture.text_keys import TextKeys
from fastcka.cli.app import app

pytestmark = pytest.mark.filterwarnings("default")  # the warnings of the libraries

PAGES = Path(__file__).parents[2] / "docs" / "howto"
MODELS = (PAGES / "hugging-face.md").read_text("utf-8")
TRAINERS = (PAGES / "trainer-and-lightning.md").read_text("utf-8")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.M | re.S)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("sentences.txt").write_text("\n".join(SENTENCES), "utf-8")
    save(tmp_path / "model")
    return tmp_path


def test_the_first_example(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    config, sweep, *_ = blocks(MODELS, "yaml")
    assert len([line for line in config.splitlines() if not line.startswith("#")]) == 6
    result = capture(config)
    assert result.exit_code == 0, result.output
    Path("sweep.yaml").write_text(sweep, "utf-8")
    assert fastcka.run_sweep("sweep.yaml").comparisons == 3
    (code,) = blocks(MODELS, "python")
    exec(code, {})
    assert 0 < float(capsys.readouterr().out.splitlines()[-1]) < 1
    assert Path("layers.png").stat().st_size > 0


def test_the_other_configurations_are_valid(folder: Path) -> None:
    configs = [text for text in blocks(MODELS, "yaml") if "runs:" in text][1:]
    for name in ("out", "sst2"):
        (folder / name).mkdir()
    names = []
    for text in configs:
        (folder / "capture.yaml").write_text(text, "utf-8")
        names += [run.name for run in load_capture(folder / "capture.yaml").runs]
    assert names == ["pythia-70m", "pythia-160m", "tuned", "minilm"]


def test_the_keys_of_texts_are_documented() -> None:
    section = MODELS.split("\n## Texts\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]*) \|", section, re.M)
    keys = [key for row in rows for key in re.findall(r"`([^`]+)`", row)]
    assert sorted(keys) == sorted(TextKeys.model_fields)


@pytest.mark.parametrize("page", [MODELS, TRAINERS])
def test_links_and_headings(page: str) -> None:
    assert len(re.findall(r"^# ", re.sub(r"^```.*?^```", "", page, flags=re.M | re.S), re.M)) == 1
    for link in re.findall(r"\]\(([^)]+)\)", page):
        path, _, anchor = link.partition("#")
        assert (PAGES / path).is_file(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", (PAGES / path).read_text("utf-8"), re.M)
            assert anchor in [heading.lower().replace(" ", "-") for heading in headings]


def test_the_trainer(tmp_path: Path) -> None:
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    torch.manual_seed(0)
    row = {"input_ids": [2, 5, 7, 3], "labels": [2, 5, 7, 3]}
    names: dict[str, Any] = {
        "model": transformers.BertForMaskedLM(bert(0).config),
        "tokenizer": tokenizer(),
        "texts": SENTENCES,
        "dataset": [row] * 8,
        "arguments": transformers.TrainingArguments(
            output_dir=str(tmp_path), max_steps=3, report_to=[], save_strategy="no", use_cpu=True
        ),
    }
    exec(blocks(TRAINERS, "python")[0].replace("every=100", "every=2"), names)
    history = names["trainer"].state.log_history
    steps = [entry["cka_step"] for entry in history if "cka/previous/hidden_states.1" in entry]
    assert steps == [2, 3]


def test_lightning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lightning = pytest.importorskip("lightning", reason="lightning is not installed")
    monkeypatch.chdir(tmp_path)

    class Module(lightning.LightningModule):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x)

        def training_step(self, batch: torch.Tensor, _index: int) -> torch.Tensor:
            return self(batch).square().mean()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    images = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
    batches = torch.utils.data.DataLoader(images, batch_size=4)
    names: dict[str, Any] = {"images": images, "batches": batches, "module": Module()}
    code = blocks(TRAINERS, "python")[1].replace("every=100", "every=2")
    quiet = "max_steps=3, logger=False, enable_checkpointing=False, enable_progress_bar=False"
    assert "max_steps=1000" in code
    exec(code.replace("max_steps=1000", quiet), names)
    pairs = {(record.step, record.reference) for record in names["monitor"].records}
    assert pairs == {(2, "first"), (3, "first"), (0, "final"), (2, "final")}


def test_a_loop_and_its_table(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    loop, table = blocks(TRAINERS, "python")[2:]
    images = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
    names: dict[str, Any] = {
        "CKAMonitor": fastcka.capture.CKAMonitor,
        "images": images,
        "model": nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)),
        "batches": range(200),
        "update": lambda model, _batch: model[0].weight.data.add_(0.01),
    }
    exec(loop, names)
    exec(table, names)
    assert re.findall(r"^(\d+) ", capsys.readouterr().out, re.M) == ["0", "100"]


def test_the_example(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = runpy.run_path(str(PAGES.parents[1] / "examples" / "hugging_face.py"))
    assert len(set(example["sentences"]())) == 200
    done = []

    def run(command: list[str], *, cwd: Path, check: bool) -> SimpleNamespace:
        with monkeypatch.context() as inside:
            inside.chdir(cwd)
            done.append(CliRunner().invoke(app, command[3:]))
        return SimpleNamespace(returncode=done[-1].exit_code)

    monkeypatch.setattr("subprocess.run", run)
    monkeypatch.setattr("sys.argv", ["hugging_face.py", str(folder / "model"), "result"])
    example["main"]()
    assert "captured" in done[0].stdout
    assert re.search(r"^representations +3$", done[1].stdout, re.MULTILINE)
    assert re.search(r"^pairs +3$", done[1].stdout, re.MULTILINE)
