"""A sweep over token rows, compared with CKA and the jackknife over texts in NumPy."""

from __future__ import annotations

import csv

import numpy as np
import pytest

import oracle
from fastcka.sweep import run_sweep

torch = pytest.importorskip("torch", reason="capture needs PyTorch")

from fastcka.capture import Probe, capture_representations  # noqa: E402

TEXTS, TOKENS, WIDTH = 9, 6, 4
LENGTHS = np.array([6, 3, 4, 6, 2, 5, 1, 6, 3])
#: Text and token of each row; texts are padded on the right.
ROWS = [(text, token) for text in range(TEXTS) for token in range(LENGTHS[text])]


def written(folder):
    """Write a store of two models, whose layers look up tables; return the tables by model."""
    rng = np.random.default_rng(3)
    base = rng.standard_normal((TEXTS * TOKENS, WIDTH), np.float32)
    tables = {}
    inputs = {
        "input_ids": np.arange(TEXTS * TOKENS).reshape(TEXTS, TOKENS),
        "attention_mask": (np.arange(TOKENS) < LENGTHS[:, None]).astype(int),
    }
    probe = Probe(inputs, ids=[f"text {text}" for text in range(TEXTS)])
    for model in ("m", "n"):
        tables[model] = base + rng.standard_normal(base.shape, np.float32)

        class Lookup(torch.nn.Module):
            def __init__(self, table):
                super().__init__()
                self.words = torch.nn.Embedding.from_pretrained(torch.from_numpy(table))

            def forward(self, input_ids, attention_mask):
                return self.words(input_ids)

        capture_representations(
            Lookup(tables[model]),
            probe,
            layers=["words"],
            store=folder / "store",
            model_name=model,
            step=0,
            rows="tokens",
        )
    return tables


def row_of(config):
    with run_sweep(config).results_path.open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    return row


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
def test_intervals_over_texts(tmp_path, config_for, estimator):
    tables = written(tmp_path)
    rows = [TOKENS * text + token for text, token in ROWS]
    x, y = tables["m"][rows], tables["n"][rows]
    text_of_row = np.array([text for text, _ in ROWS])
    value = oracle.cka(x, y, estimator)
    n = len(rows)
    pseudo, total = [], TEXTS * value  # Busing et al. 1999; each text is a fold
    for text in range(TEXTS):
        kept = text_of_row != text
        without = oracle.cka(x[kept], y[kept], estimator)
        h = n / (~kept).sum()
        total -= (1 - 1 / h) * without
        pseudo.append((h * value - (h - 1) * without, h))
    variance = np.mean([(each - total) ** 2 / (h - 1) for each, h in pseudo])

    row = row_of(config_for(estimator=estimator, inference={"blocks": "text_id"}))
    assert int(row["n_examples"]) == n
    assert float(row["cka"]) == pytest.approx(value, rel=1e-6)
    assert float(row["stderr"]) == pytest.approx(variance**0.5, rel=1e-5)


@pytest.mark.usefixtures("no_figures")
def test_filters_and_samples_take_rows(tmp_path, config_for):
    tables = written(tmp_path)
    first = [TOKENS * text for text in range(TEXTS)]
    row = row_of(config_for(estimator="biased", examples="position:^0$"))
    expected = oracle.cka(tables["m"][first], tables["n"][first], "biased")
    assert float(row["cka"]) == pytest.approx(expected, rel=1e-6)
    row = row_of(config_for(examples={"sample": 20}))
    assert int(row["n_examples"]) == 20  # of 36 rows
