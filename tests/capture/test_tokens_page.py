"""Token rows of a Hugging Face model, and the page on tokens: its examples run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastcka
from fastcka.capture.config import load_capture
from fastcka.sweep import load_sweep

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "tokens.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


def test_the_configurations(tmp_path: Path) -> None:
    config, sweep = blocks("yaml")
    (tmp_path / "capture.yaml").write_text(config, "utf-8")
    assert load_capture(tmp_path / "capture.yaml").rows == "tokens"
    (tmp_path / "sweep.yaml").write_text(sweep, "utf-8")
    inference = load_sweep(tmp_path / "sweep.yaml").inference
    assert inference is not None
    assert inference.blocks == "text_id"


def test_the_python_examples(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for code in blocks("python"):
        exec(code, names)
    assert capsys.readouterr().out.startswith("['text-0:0', 'text-0:1'] (240, 8)\n")
    rows = names["captured"].layers
    expected = fastcka.compare(rows, precision="float64").cka
    np.testing.assert_allclose(names["result"].cka, expected, rtol=0, atol=1e-12)


@pytest.mark.filterwarnings("default")  # transformers uses deprecated functions
def test_tokens_of_a_pretrained_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    from capture.pretrained_samples import SENTENCES, WORDS, alone, capture, save

    monkeypatch.chdir(tmp_path)
    Path("texts.txt").write_text("".join(f"{text}\n" for text in SENTENCES), "utf-8")
    model = save(tmp_path / "model")
    result = capture(
        "probe: {texts: texts.txt, max_length: 8}\n"
        "store: store\n"
        "layers: hidden_states\n"
        "rows: tokens\n"
        "runs: [{name: m, pretrained: model, step: 0}]\n"
    )
    assert result.exit_code == 0, result.output
    with fastcka.open_store("store") as store:
        for number in range(3):
            expected = np.concatenate([alone(model, text)[number] for text in SENTENCES])
            key = ("m", 0, f"hidden_states.{number}")
            np.testing.assert_allclose(store.read(key), expected, atol=1e-5)
        columns = store.examples(store.keys()[0]).columns
    tokens = [["[CLS]", *text.split(), "[SEP]"] for text in SENTENCES]
    assert columns["token_id"].tolist() == [WORDS.index(word) for text in tokens for word in text]
    assert columns["position"].tolist() == [i for text in tokens for i in range(len(text))]
