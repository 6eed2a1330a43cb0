"""Tokens and positions as rows: which rows, their ids and columns, by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fastcka.capture import Probe, capture_representations, capture_rows
from fastcka.capture.provenance import changed_parts
from fastcka.errors import InputError, KeyExistsError
from fastcka.store import Key, Store, open_store

N, T, D = 5, 4, 3
#: Padding on the left, on the right and none.
MASK = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1], [0, 1, 1, 0], [1, 0, 0, 0]])
IDS = 10 * np.arange(N)[:, None] + np.arange(T)
TABLE = np.random.default_rng(0).normal(size=(10 * N, D)).astype(np.float32)
NAMES = ["a", "b", "c", "d", "e"]
#: The text and the token axis of each row, in order.
ROWS = [(text, place) for text in range(N) for place in range(T) if MASK[text, place]]
#: The positions, which count from the first real token.
POSITIONS = [0, 1, 0, 1, 0, 1, 2, 3, 0, 1, 0]


class Words(nn.Module):
    """Looks up TABLE, and doubles it; the second layer drops the last token if asked."""

    def __init__(self, *, short: bool = False) -> None:
        super().__init__()
        self.words = nn.Embedding.from_pretrained(torch.from_numpy(TABLE))
        self.twice = nn.Identity()
        self.pooled = nn.Identity()
        self.short = short

    def forward(self, input_ids: torch.Tensor, **_: torch.Tensor) -> torch.Tensor:
        hidden = 2 * self.words(input_ids)
        hidden = self.twice(hidden[:, 1:] if self.short else hidden)
        return self.pooled(hidden.mean(dim=1))


def probe(**options: Any) -> Probe:
    inputs = {"input_ids": IDS, "attention_mask": MASK}
    return Probe(inputs, **({"ids": NAMES} | options))


@pytest.mark.parametrize("batch_size", [1, 2, 3, 256])
def test_each_real_token_is_a_row(batch_size: int) -> None:
    labels = ["even", "odd", "even", "odd", "even"]
    captured = capture_rows(
        Words(), probe(columns={"label": labels}), ["words", "twice"], batch_size=batch_size
    )
    expected = np.array([TABLE[IDS[text, place]] for text, place in ROWS])
    np.testing.assert_array_equal(captured.layers["words"], expected)
    np.testing.assert_array_equal(captured.layers["twice"], 2 * expected)
    texts = [NAMES[text] for text, _ in ROWS]
    assert captured.ids == [f"{a}:{b}" for a, b in zip(texts, POSITIONS, strict=True)]
    assert captured.columns == {
        "text_id": texts,
        "position": POSITIONS,
        "token_id": [IDS[text, place] for text, place in ROWS],
        "label": [labels[text] for text, _ in ROWS],
    }


def test_without_ids_and_masks_rows_are_named_by_position() -> None:
    values = np.random.default_rng(1).normal(size=(3, 4, 2)).astype(np.float32)
    captured = capture_rows(nn.Sequential(nn.Identity()), values, ["0"])
    np.testing.assert_array_equal(captured.layers["0"], values.reshape(12, 2))
    assert captured.ids is None
    assert captured.columns["text_id"] == [str(i // 4) for i in range(12)]
    assert captured.columns["position"] == [0, 1, 2, 3] * 3
    assert "token_id" not in captured.columns


def test_token_ids_that_could_be_two_inputs_are_left_out() -> None:
    inputs = {"input_ids": IDS, "other_ids": IDS}
    assert "token_id" not in capture_rows(Words(), Probe(inputs), ["words"]).columns


def test_each_place_of_an_image_is_a_row() -> None:
    images = np.random.default_rng(2).normal(size=(6, 2, 3, 5))  # float64 stays float64
    captured = capture_rows(nn.Sequential(nn.Identity()), images, ["0"], rows="positions")
    expected = [images[image, :, y, x] for image in range(6) for y in range(3) for x in range(5)]
    np.testing.assert_array_equal(captured.layers["0"], np.array(expected))
    assert captured.layers["0"].dtype == np.float64
    assert captured.columns == {
        "example_id": [str(row // 15) for row in range(90)],
        "position": [row % 15 for row in range(90)],
    }


def test_layers_with_other_positions() -> None:
    message = r"layer 'twice': expected 4 tokens in each example as in layer 'words', got 3; .*sep"
    with pytest.raises(InputError, match=message):
        capture_rows(
            Words(short=True),
            probe(),
            ["words", "twice"],
            masks={"words": "attention_mask", "twice": None},
        )
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.MaxPool2d(2))
    message = r"layer '1': expected 16 positions .*='positions' all layers must have the same rows"
    with pytest.raises(InputError, match=message):
        capture_rows(net, torch.randn(5, 1, 4, 4), ["0", "1"], rows="positions")


def test_layers_with_other_masks() -> None:
    inputs = {"input_ids": IDS, "attention_mask": MASK, "other_mask": np.roll(MASK, 1, axis=0)}
    masks = {"words": "attention_mask", "twice": "other_mask"}
    with pytest.raises(InputError, match=r"layer 'twice': expected the mask of layer 'words', .*"):
        capture_rows(Words(), Probe(inputs), ["words", "twice"], masks=masks)


def test_layers_without_tokens() -> None:
    message = r"layer 'pooled': expected the shape \(n_examples, n_tokens, n_features\).*\(5, 3\)"
    with pytest.raises(InputError, match=message):
        capture_rows(Words(), probe(), ["pooled"])
    with pytest.raises(InputError, match=r"n_channels, .*rows='positions', got \(5, 3\)"):
        capture_rows(Words(), probe(), ["pooled"], rows="positions")
    signals = torch.randn(5, 2, 7)
    net = nn.Sequential(nn.Conv1d(2, 4, 3))
    with pytest.raises(InputError, match=r"second axis is channels; use rows='positions'"):
        capture_rows(net, signals, ["0"])
    assert capture_rows(net, signals, ["0"], rows="positions").layers["0"].shape == (25, 4)


def test_arguments_that_do_not_fit(tmp_path: Path) -> None:
    wrong: Any = "examples"
    with pytest.raises(InputError, match="rows: expected tokens or positions, got 'examples'; for"):
        capture_rows(Words(), probe(), ["words"], rows=wrong)
    wrong = "words"
    with pytest.raises(InputError, match="rows: expected one of examples, tokens, positions, got"):
        store(tmp_path / "s", rows=wrong)
    with pytest.raises(InputError, match="rows='tokens' nothing is pooled, got 'mean_tokens'"):
        store(tmp_path / "s", pool="mean_tokens")
    with pytest.raises(InputError, match="has a column 'text_id', but with rows='tokens'"):
        capture_rows(Words(), probe(columns={"text_id": NAMES}), ["words"])


def test_rows_that_depend_on_other_examples() -> None:
    class Centred(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = Words()
            self.centred = nn.Identity()

        def forward(self, input_ids: torch.Tensor, **masks: torch.Tensor) -> torch.Tensor:
            hidden = self.words.words(input_ids)
            return self.centred(hidden - hidden.mean(dim=0))

    with pytest.raises(InputError, match=r"layer 'centred': the row of example '.' depends on"):
        capture_rows(Centred(), probe(), ["words.words", "centred"])
    captured = capture_rows(Centred(), probe(), ["centred"], check_rows=False)
    assert captured.layers["centred"].shape == (len(ROWS), D)


def store(path: Path, *, given: Probe | None = None, **options: Any) -> Store:
    options = {"rows": "tokens"} | options
    capture_representations(
        Words(),
        probe() if given is None else given,
        layers=["words", "twice"],
        store=path,
        model_name="m",
        step=0,
        **options,
    )
    return open_store(path)


def test_the_store_contains_rows_ids_and_columns(tmp_path: Path) -> None:
    written = store(tmp_path / "s")
    key = Key("m", 0, "words")
    expected = np.array([TABLE[IDS[text, place]] for text, place in ROWS])
    np.testing.assert_array_equal(written.read(key), expected)
    np.testing.assert_array_equal(written.read(Key("m", 0, "twice")), 2 * expected)
    examples = written.examples(key)
    assert examples.ids.tolist()[:3] == ["a:0", "a:1", "b:0"]
    assert not examples.positional_ids
    assert examples.columns["text_id"].tolist() == [NAMES[text] for text, _ in ROWS]
    assert examples.columns["position"].tolist() == POSITIONS
    assert examples.columns["token_id"].tolist() == [int(IDS[row]) for row in ROWS]
    assert written.info(key).pooling == "tokens"
    positional = store(tmp_path / "p", given=probe(ids=None))
    assert positional.examples(key).positional_ids


def test_keys_without_rows_are_of_examples() -> None:
    assert changed_parts({"weights": "w"}, {"weights": "w", "rows": "examples"}) == []
    assert changed_parts({"weights": "w"}, {"weights": "w", "rows": "tokens"}) == ["rows"]


def test_other_rows_are_captured_again(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {
        "layers": ["words"],
        "store": tmp_path / "s",
        "model_name": "m",
        "step": 0,
    }
    assert capture_representations(Words(), probe(), **arguments, rows="tokens")
    assert not capture_representations(Words(), probe(), **arguments, rows="tokens")
    with pytest.raises(KeyExistsError, match="captured with other rows; overwrite"):
        capture_representations(Words(), probe(), **arguments)
