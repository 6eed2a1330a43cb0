"""Small Hugging Face models, a tokenizer and texts, all made here; nothing is downloaded."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from fastcka.capture import Probe
from fastcka.cli.app import app

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
WORDS = [*SPECIAL, "a", "the", "old", "cat", "dog", "bird", "sees", "likes", "tree", "river"]
SIZE: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "vocab_size": len(WORDS),
    "max_position_embeddings": 32,
}
SENTENCES = [
    f"{first} {noun} {verb} {second}"
    for first, noun, verb, second in itertools.product(
        ("the", "a old"), ("cat", "dog", "bird"), ("sees", "likes"), ("a tree", "river")
    )
]


def tokenizer(**special: str) -> Any:
    """A tokenizer of whole words, which puts [CLS] and [SEP] around a text."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, "[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = special or {"pad_token": "[PAD]"}
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="[UNK]", model_max_length=32, **special
    )


def bert(seed: int) -> Any:
    torch.manual_seed(seed)
    return transformers.AutoModel.from_config(transformers.BertConfig(**SIZE))


def save(folder: Path, seed: int = 0, **special: str) -> Any:
    """Save a model with its tokenizer, and return the model."""
    model = bert(seed).eval()
    model.save_pretrained(folder)
    tokenizer(**special).save_pretrained(folder)
    return model


def alone(model: Any, sentence: str) -> list[np.ndarray[Any, Any]]:
    """The hidden states of one sentence without padding: (n_tokens, n_features) each."""
    ids = [[2, *(WORDS.index(word) for word in sentence.split()), 3]]
    with torch.no_grad():
        states = model(torch.tensor(ids), output_hidden_states=True).hidden_states
    return [state[0].numpy() for state in states]


def probe_of(sentences: list[str]) -> Probe:
    return Probe(dict(tokenizer()(sentences, padding=True, return_tensors="np")))


def capture(config: str, *options: str) -> Any:
    """Run `fastcka capture` in the current folder on a configuration."""
    Path("capture.yaml").write_text(config, "utf-8")
    return CliRunner().invoke(app, ["capture", "capture.yaml", *options])
