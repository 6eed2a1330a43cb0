"""Pretrained models by name, revision and folder: `fastcka capture` without a user's Python."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fastcka
from capture.pretrained_samples import SENTENCES, alone, bert, capture, save, transformers

pytestmark = pytest.mark.filterwarnings("default")  # transformers uses deprecated functions

CONFIG = """\
probe: {{texts: texts.txt, max_length: 8}}
store: store
layers: hidden_states
pool: mean_tokens
runs:
  - {run}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory with a file of texts; a download is an error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    Path("texts.txt").write_text("".join(f"{text}\n" for text in SENTENCES), "utf-8")
    return tmp_path


def captured(run: str, *options: str, status: int = 0, config: str = CONFIG) -> list[Any]:
    result = capture(config.format(run=run), "--json", *options)
    assert result.exit_code == status, result.output
    outcomes: list[Any] = json.loads(result.stdout)["checkpoints"]
    return outcomes


def refusal(run: str, *options: str, config: str = CONFIG) -> str:
    result = capture(config.format(run=run), *options)
    assert result.exit_code != 0, result.output
    return " ".join(result.stderr.split())


def assert_stored(model: Any, name: str, step: int) -> None:
    """The store contains the means of the hidden states that each sentence has alone."""
    with fastcka.open_store("store") as store:
        for number in range(3):
            expected = [alone(model, text)[number].mean(axis=0) for text in SENTENCES]
            got = store.read((name, step, f"hidden_states.{number}"))
            np.testing.assert_allclose(got, expected, atol=1e-5)


def test_a_folder_is_captured_by_six_lines(folder: Path) -> None:
    model = save(folder / "model")
    run = "{name: tiny, pretrained: model, step: 0}"
    (outcome,) = captured(run)
    assert (outcome["outcome"], outcome["step"], outcome["path"]) == ("captured", 0, "model")
    assert_stored(model, "tiny", 0)
    with fastcka.open_store("store") as store:
        layers = [key.layer for key in store.keys()]
        source = store.provenance("tiny", 0)["source"]
    assert layers == ["hidden_states.0", "hidden_states.1", "hidden_states.2"]
    assert source["pretrained"] == "model"
    assert source["model"] == "transformers:AutoModel"
    assert captured(run)[0]["outcome"] == "reused"


def test_a_trainers_folder_has_a_model_for_each_step(folder: Path) -> None:
    models = {step: save(folder / "out" / f"checkpoint-{step}", step) for step in (2, 10, 30)}
    (folder / "out" / "checkpoint-7").mkdir()  # contains no model
    captured("{name: run, pretrained: out, steps: [2, 30]}")
    with fastcka.open_store("store") as store:
        assert store.steps("run") == [2, 30]
    for step in (2, 30):
        assert_stored(models[step], "run", step)
    assert "expected some of 2, 10, 30" in refusal("{name: run, pretrained: out, steps: [7]}")
    assert "steps: [2] selects one" in refusal("{name: run, pretrained: out, step: 2}")


def cache(root: Path, name: str, revision: str, seed: int) -> Any:
    """Put a model into the local cache as a download of a revision does."""
    commit = f"{seed:040x}"
    place = root / "cache" / f"models--{name.replace('/', '--')}"
    (place / "refs").mkdir(parents=True, exist_ok=True)
    (place / "refs" / revision).write_text(commit)
    return save(place / "snapshots" / commit, seed)


def test_the_number_in_a_revision_is_the_step(folder: Path) -> None:
    models = {step: cache(folder, "lab/tiny", f"step{step}", step) for step in (1000, 512)}
    run = "{name: tiny, pretrained: lab/tiny, revisions: [step1000, step512]}"
    outcomes = captured(run, config=CONFIG + "local_files_only: true\n")
    assert [(each["step"], each["revision"]) for each in outcomes] == [
        (512, "step512"),
        (1000, "step1000"),
    ]
    for step, model in models.items():
        assert_stored(model, "tiny", step)
    with fastcka.open_store("store") as store:
        source = store.provenance("tiny", 512)["source"]
    assert (source["revision"], source["commit"]) == ("step512", f"{512:040x}")


def test_a_revision_that_is_not_cached_fails_and_the_others_are_captured(folder: Path) -> None:
    cache(folder, "lab/tiny", "step1", 1)
    run = "{name: tiny, pretrained: lab/tiny, revisions: [step1, step2]}"
    first, second = captured(run, status=1, config=CONFIG + "local_files_only: true\n")
    assert (first["outcome"], second["outcome"]) == ("captured", "failed")
    assert "lab/tiny, revision step2 cannot be loaded" in second["message"]
    assert "only folders and the local cache are used" in second["message"]


@pytest.mark.parametrize(
    ("revision", "more", "step"),
    [
        ("step143000", "", 143000),
        ("stage1-step1000-tokens5B", "", 1000),
        ("step_20", "", 20),
        ("epoch3", "", 3),
        ("step4-tokens9B", ", step_pattern: 'tokens(\\d+)B'", 9),
        ("main", ", step: 7", 7),
    ],
)
def test_steps_of_revisions(folder: Path, revision: str, more: str, step: int) -> None:
    run = f"{{name: tiny, pretrained: lab/tiny, revisions: [{revision}]{more}}}"
    cache(folder, "lab/tiny", revision, 0)
    assert [each["step"] for each in captured(run)] == [step]


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ("{name: a, pretrained: lab/tiny}", "lab/tiny: the name contains no step; give it"),
        ("{name: a, pretrained: ./no, step: 0}", "runs.a.pretrained: no such folder: no"),
        ("{name: a, pretrained: texts, step: 0}", "texts cannot be loaded: OSError"),
        ("{name: a, pretrained: m, revisions: [main]}", "revision 'main': expected a number"),
        ("{name: a, pretrained: m, revisions: [v1.2]}", "revision 'v1.2': expected a number"),
        ("{name: a, pretrained: m, revisions: [step1, step01]}", "expected distinct steps"),
        ("{name: a, pretrained: m, revisions: [b, b]}", "expected distinct revisions; got"),
        ("{name: a, pretrained: m, revisions: [b], steps: [1]}", "list only the revisions"),
        ("{name: a, pretrained: m, revisions: [b, c], step: 1}", "step is for a single model"),
        ("{name: a, pretrained: m, checkpoints: x}", "expected either checkpoints or pretrained"),
        ("{name: a, revisions: [b], step: 0}", "revisions is for runs with pretrained"),
        ("{name: a, step: 0}", "model is missing: expected package.module:function"),
        ("{name: a, pretrained: m, step: 0, strict: false}", "strict is for runs with checkpoints"),
        ("{name: a, pretrained: m, step: 0}\n  - {name: b, step: 0}", "in each run or in none"),
        (
            "{name: a, pretrained: m, step: 0, options: {trust_remote_code: true}}",
            "trust_remote_code is set by --trust-remote-code",
        ),
        (
            "{name: a, pretrained: m, step: 0, options: {weights_only: false}}",
            "weights_only is set by nothing: weights that could run code are not loaded",
        ),
    ],
)
def test_what_does_not_fit_is_named(folder: Path, run: str, message: str) -> None:
    assert message in refusal(run)
    assert not (folder / "store").exists()


def test_a_folder_has_no_revisions(folder: Path) -> None:
    save(folder / "model")
    run = "{name: a, pretrained: model, revisions: [step1]}"
    assert "model: revisions are for a model on the Hub" in refusal(run)


def test_weights_that_are_missing_or_not_used(folder: Path) -> None:
    torch.manual_seed(0)
    model = transformers.BertForMaskedLM(bert(0).config).eval()
    model.save_pretrained("model")
    save(folder / "other")
    texts = CONFIG.replace("texts.txt", "texts.txt, tokenizer: other")
    run = "{name: tiny, pretrained: model, step: 0}"
    (outcome,) = captured(run, config=texts, status=1)
    assert "model lacks weights of BertModel: pooler.dense.bias" in outcome["message"]
    assert "allow_missing: [pooler.dense.bias]" in outcome["message"]
    run = "{name: tiny, pretrained: model, step: 0, allow_missing: ['pooler.*']}"
    (outcome,) = captured(run, config=texts)
    assert outcome["missing"] == ["pooler.dense.bias", "pooler.dense.weight"]
    assert "cls.predictions.bias" in outcome["ignored"]
    assert captured(run, config=texts)[0]["outcome"] == "reused"  # the missing weights are fixed
    assert_stored(model, "tiny", 0)


def test_another_class_and_its_options(folder: Path) -> None:
    torch.manual_seed(0)
    model = transformers.BertForMaskedLM(bert(0).config).eval()
    model.save_pretrained("model")
    save(folder / "other")
    config = CONFIG.replace("texts.txt", "texts.txt, tokenizer: other").replace(
        "layers: hidden_states", "layers: [hidden_states, cls]"
    )
    config = f"model: transformers:AutoModelForMaskedLM\n{config}"
    captured("{name: tiny, pretrained: model, step: 0, options: {dtype: float64}}", config=config)
    assert_stored(model, "tiny", 0)
    with fastcka.open_store("store") as store:
        layers = [key.layer for key in store.keys()]
        assert store.read(("tiny", 0, "cls")).dtype == np.float64
    assert layers == ["hidden_states.0", "hidden_states.1", "hidden_states.2", "cls"]


def test_a_class_without_from_pretrained(folder: Path) -> None:
    run = "{name: tiny, pretrained: m, step: 0}"
    message = refusal(run, config=f"model: torch.nn:Linear\n{CONFIG}")
    assert "expected a class with from_pretrained" in message


REMOTE = """
from pathlib import Path
from transformers import BertConfig, BertModel

Path("code_ran").touch()

class RemoteConfig(BertConfig):
    model_type = "remote"

class RemoteModel(BertModel):
    config_class = RemoteConfig
"""


def test_code_of_a_repository_runs_only_on_request(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(folder / "code"))
    monkeypatch.setattr("sys.path", list(sys.path))
    model = save(folder / "model")
    save(folder / "other")
    settings = json.loads((folder / "model" / "config.json").read_text())
    settings |= {
        "model_type": "remote",
        "auto_map": {"AutoConfig": "remote.RemoteConfig", "AutoModel": "remote.RemoteModel"},
    }
    (folder / "model" / "config.json").write_text(json.dumps(settings))
    (folder / "model" / "remote.py").write_text(REMOTE)
    config = CONFIG.replace("texts.txt", "texts.txt, tokenizer: other")
    run = "{name: tiny, pretrained: model, step: 0}"
    (outcome,) = captured(run, config=config, status=1)
    assert "trust_remote_code" in outcome["message"]
    assert not Path("code_ran").exists()
    captured(run, "--trust-remote-code", config=config)
    assert Path("code_ran").exists()
    assert_stored(model, "tiny", 0)


def test_without_transformers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    message = refusal("{name: tiny, pretrained: m, step: 0}")
    assert "a pretrained model needs transformers, which is not installed" in message
    assert "[huggingface] extra" in message
