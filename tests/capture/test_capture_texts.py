"""Probe sets of texts: files, datasets, ids, columns, lengths, padding and masks."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastcka
from capture.pretrained_samples import SENTENCES, alone, capture, save
from fastcka.capture.text_keys import TextKeys
from fastcka.capture.texts import read_texts
from fastcka.errors import InputError
from fastcka.store import Key, Store

pytestmark = pytest.mark.filterwarnings("default")  # transformers uses deprecated functions

CONFIG = """\
probe: {{{probe}}}
store: store
layers: hidden_states
pool: {pool}
runs: [{{name: tiny, pretrained: model, step: 0}}]
"""
LAST = Key("tiny", 0, "hidden_states.2")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write("texts.txt", *SENTENCES)
    return tmp_path


@pytest.fixture
def model(folder: Path) -> Any:
    return save(folder / "model")


def write(name: str, *lines: str) -> None:
    Path(name).write_text("".join(f"{line}\n" for line in lines), "utf-8")


def stored(probe: str, pool: str = "mean_tokens") -> Store:
    result = capture(CONFIG.format(probe=probe, pool=pool))
    assert result.exit_code == 0, result.output
    return fastcka.open_store("store")


def refusal(probe: str) -> str:
    result = capture(CONFIG.format(probe=probe, pool="mean_tokens"))
    assert result.exit_code != 0, result.output
    return " ".join(result.stderr.split())


def expected(model: Any, texts: list[str]) -> Any:
    return [alone(model, text)[2].mean(axis=0) for text in texts]


def test_ids_are_digests_and_the_texts_are_a_column(model: Any) -> None:
    long = " ".join(["old"] * 80)
    write("long.txt", "the cat sees a tree", long)
    store = stored("texts: long.txt, max_length: 16, truncation: true")
    examples = store.examples(LAST)
    digests = [
        hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        for text in ("the cat sees a tree", long)
    ]
    assert list(examples.ids) == digests
    assert list(examples.columns["text"]) == ["the cat sees a tree", long[:200] + "…"]
    np.testing.assert_allclose(
        store.read(LAST),
        expected(model, ["the cat sees a tree", " ".join(["old"] * 14)]),
        atol=1e-5,
    )


@pytest.mark.parametrize("pool", ["last_token", "cls"])
def test_padding_is_no_token(model: Any, pool: str) -> None:
    place = -1 if pool == "last_token" else 0
    got = stored("texts: texts.txt, max_length: 12, padding: max_length", pool).read(LAST)
    np.testing.assert_allclose(got, [alone(model, s)[2][place] for s in SENTENCES], atol=1e-5)


@pytest.mark.parametrize(("padding", "n_tokens"), [("longest", 8), ("max_length", 12)])
def test_padding_to_the_longest_text_or_to_the_most_tokens(
    model: Any, padding: str, n_tokens: int
) -> None:
    store = stored(f"texts: texts.txt, max_length: 12, padding: {padding}", "flatten")
    got = store.read(LAST).reshape(len(SENTENCES), n_tokens, 16)
    for row, text in zip(got, SENTENCES, strict=True):
        values = alone(model, text)[2]
        np.testing.assert_allclose(row[: len(values)], values, atol=1e-5)
        assert not row[len(values) :].any()


def test_a_tokenizer_without_a_padding_token(folder: Path) -> None:
    model = save(folder / "model", eos_token="[SEP]")
    got = stored("texts: texts.txt, max_length: 8").read(LAST)
    np.testing.assert_allclose(got, expected(model, SENTENCES), atol=1e-5)


def test_a_tokenizer_without_padding_and_end_tokens(folder: Path) -> None:
    save(folder / "model", cls_token="[CLS]")
    assert "has neither" in refusal("texts: texts.txt, max_length: 8")


def rows(texts: list[str]) -> list[dict[str, Any]]:
    return [{"key": i, "sentence": text, "odd": i % 2 == 1} for i, text in enumerate(texts)]


def test_fields_of_objects(model: Any) -> None:
    write("texts.jsonl", *(json.dumps(row) for row in rows(SENTENCES)))
    store = stored("texts: texts.jsonl, column: sentence, ids: key, columns: [odd], max_length: 8")
    examples = store.examples(LAST)
    assert list(examples.ids) == [str(i) for i in range(len(SENTENCES))]
    assert list(examples.columns["odd"]) == [i % 2 == 1 for i in range(len(SENTENCES))]
    np.testing.assert_allclose(store.read(LAST), expected(model, SENTENCES), atol=1e-5)


@pytest.mark.parametrize("name", ["texts.TXT", "texts.JSONL"])
def test_suffixes_in_capital_letters(folder: Path, name: str) -> None:
    objects = [json.dumps({"text": text}) for text in SENTENCES]
    write(name, *(objects if name.endswith("JSONL") else SENTENCES))
    keys = TextKeys(texts=folder / name, max_length=16)
    assert read_texts(keys).texts == list(SENTENCES)


def test_a_long_value_that_is_no_text_is_shortened(folder: Path) -> None:
    write("texts.jsonl", json.dumps({"text": list(range(1000))}))
    with pytest.raises(InputError, match=r"text 1 of 1: expected a text, got \[0, 1, 2") as caught:
        read_texts(TextKeys(texts=folder / "texts.jsonl", max_length=16))
    assert len(str(caught.value)) < 200 + len(str(folder))


def test_a_byte_order_mark_is_no_text(model: Any) -> None:
    lines = "".join(f"{text}\n" for text in SENTENCES)
    Path("texts.txt").write_text(lines, "utf-8-sig")
    store = stored("texts: texts.txt, max_length: 8")
    assert list(store.examples(LAST).columns["text"]) == SENTENCES


def test_a_saved_dataset(model: Any) -> None:
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    parts = {"train": SENTENCES[:4], "test": SENTENCES[4:]}
    whole = {name: datasets.Dataset.from_list(rows(texts)) for name, texts in parts.items()}
    datasets.DatasetDict(whole).save_to_disk("data")
    whole["test"].save_to_disk("single")
    keys = "column: sentence, ids: key, columns: [odd], max_length: 8"
    got = stored(f"dataset: data, split: test, {keys}")
    np.testing.assert_allclose(got.read(LAST), expected(model, parts["test"]), atol=1e-5)
    assert list(got.examples(LAST).columns["text"]) == parts["test"]
    assert (
        "1 checkpoint"
        in capture(
            CONFIG.format(probe=f"dataset: single, {keys}", pool="cls"), "--overwrite"
        ).output
    )
    assert "expected one of train, test" in refusal(f"dataset: data, {keys}")
    assert "no split 'tset'" in refusal(f"dataset: data, split: tset, {keys}")
    assert "no column 'text'" in refusal("dataset: single, max_length: 8")
    assert "without splits" in refusal(f"dataset: single, split: test, {keys}")
    assert "has no names" in refusal(f"dataset: single, name: a, {keys}")


def test_a_dataset_that_is_not_there(model: Any, folder: Path) -> None:
    pytest.importorskip("datasets", reason="datasets is not installed")
    (folder / "empty").mkdir()
    assert "dataset empty: cannot be loaded: " in refusal("dataset: empty, max_length: 8")
    assert "no such folder" in refusal("dataset: ./none, max_length: 8")


def test_without_datasets(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    message = refusal("dataset: data, max_length: 8")
    assert "dataset data needs datasets, which is not installed" in message


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a", "the cat", "a"], "texts 1 and 3 are equal"),
        (["a", "", "the cat"], "text 2 of 3: expected a text, got ''"),
        ([], "expected at least one text, got none"),
        (["a", "the old cat sees a old tree"], "text 2 is the longest with 9. Increase max_length"),
    ],
)
def test_texts_that_cannot_be_used(model: Any, lines: list[str], message: str) -> None:
    write("texts.txt", *lines)
    assert message in refusal("texts: texts.txt, max_length: 8")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1: not valid JSON"),
        ("[]", "line 1: expected a JSON object, got list"),
        ('{"txt": "a"}', "line 1: no field 'text'; did you mean txt?"),
        ('{"text": 3}', "text 1 of 1: expected a text, got 3"),
    ],
)
def test_objects_that_cannot_be_used(model: Any, line: str, message: str) -> None:
    write("texts.jsonl", line)
    assert message in refusal("texts: texts.jsonl, max_length: 8")


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        ("max_length: 8", "probe: expected either texts, a file, or dataset"),
        ("texts: a.txt, dataset: b, max_length: 8", "expected either texts"),
        ("texts: texts.txt", "probe.max_length: missing"),
        ("texts: texts.csv, max_length: 8", "expected a .txt or .jsonl file, got texts.csv"),
        ("texts: none.txt, max_length: 8", "none.txt: cannot be read as text"),
        ("texts: texts.txt, ids: key, max_length: 8", "ids is for a dataset or a .jsonl file"),
        ("texts: texts.txt, split: train, max_length: 8", "split is for a dataset, and"),
        ("texts: texts.txt, maxlength: 8", "probe.maxlength: unknown key; did you mean max_length"),
        ("texts: texts.txt, max_length: 8, padding: left", "expected 'longest' or 'max_length'"),
    ],
)
def test_keys_that_do_not_fit(model: Any, probe: str, message: str) -> None:
    assert message in refusal(probe)


def test_a_network_of_a_function_needs_a_tokenizer(folder: Path) -> None:
    config = CONFIG.format(probe="texts: texts.txt, max_length: 8", pool="cls")
    result = capture("model: torch.nn:Identity\n" + config.replace("pretrained: model, ", ""))
    assert "probe.tokenizer is missing" in result.stderr
