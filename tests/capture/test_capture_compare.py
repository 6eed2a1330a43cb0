"""CKA of layers without a store, compared with the oracle and with captured rows."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import fastcka
import oracle
from capture.capture_project import by_hand, call, rewrite, weights
from fastcka import Comparison
from fastcka.capture import Probe, capture_activations, capture_rows, compare_networks
from fastcka.errors import InputError, NetworkError, OutOfMemoryError

X = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
TEXTS = np.random.default_rng(1).normal(size=(12, 5, 4)).astype(np.float32)
MASK = (np.arange(5) < np.random.default_rng(2).integers(1, 6, 12)[:, None]).astype(np.int64)


def network(seed: int, width: int = 4) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 3))


class Tokens(nn.Module):
    """Maps each token; `first` and `second` are its layers."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.second = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.second(torch.tanh(self.first(inputs)))


@pytest.mark.parametrize("batch_size", [1, 7, 50, 256])
@pytest.mark.parametrize("estimator", ["biased", "unbiased"])
def test_layers_of_one_network(batch_size: int, estimator: Any) -> None:
    model = network(0)
    layers = ["0", "1", "2"]
    got = compare_networks(model, X, layers, batch_size=batch_size, estimator=estimator)
    assert got.labels == ({"layer": "0"}, {"layer": "1"}, {"layer": "2"})
    assert (got.n_examples, got.estimator) == (50, estimator)
    captured = capture_activations(model, X, layers, batch_size=batch_size)
    expected = oracle.cka_matrix(list(captured.values()), estimator)
    np.testing.assert_allclose(got.cka, expected, rtol=0, atol=1e-12)


def test_networks_side_by_side() -> None:
    networks = {"a": network(1), "b": network(2, width=9)}
    networks["b"].train()
    got = compare_networks(networks, X, ["0", "2"], batch_size=8)
    names = [("a", "0"), ("a", "2"), ("b", "0"), ("b", "2")]
    assert got.labels == tuple({"model": model, "layer": layer} for model, layer in names)
    rows = [
        capture_activations(networks[model], X, [layer], batch_size=8)[layer]
        for model, layer in names
    ]
    np.testing.assert_allclose(got.cka, oracle.cka_matrix(rows, "unbiased"), rtol=0, atol=1e-12)
    stored = fastcka.compare(rows, precision="float64")
    np.testing.assert_allclose(got.cka, stored.cka, rtol=0, atol=1e-12)
    assert networks["b"].training
    assert not networks["b"][0]._forward_hooks


@pytest.mark.parametrize("batch_size", [1, 5, 256])
def test_tokens_as_rows(batch_size: int) -> None:
    networks = {"a": Tokens(1), "b": Tokens(2)}
    probe = Probe(TEXTS, mask=MASK)
    layers = ["first", "second"]
    got = compare_networks(networks, probe, layers, rows="tokens", batch_size=batch_size)
    assert got.n_examples == MASK.sum()
    rows = [
        values
        for model in networks.values()
        for values in capture_rows(model, probe, layers, batch_size=batch_size).layers.values()
    ]
    expected = oracle.cka_matrix(rows, "unbiased")
    np.testing.assert_allclose(got.cka, expected, rtol=0, atol=1e-12)
    tokens = torch.tensor(
        np.array([TEXTS[i, j] for i in range(12) for j in range(5) if MASK[i, j]])
    )
    with torch.no_grad():
        by_hand = [
            layer.numpy()
            for model in networks.values()
            for layer in (model.first(tokens), model.second(torch.tanh(model.first(tokens))))
        ]
    expected = oracle.cka_matrix(by_hand, "unbiased")
    np.testing.assert_allclose(got.cka, expected, rtol=0, atol=1e-5)  # of float32 layers


def test_rows_that_depend_on_their_batch_and_broken_networks() -> None:
    mixing = nn.Sequential(nn.Flatten(), nn.Softmax(dim=0))
    with pytest.raises(InputError, match=r"^bad: layer '1': the row of example '\d+' depends on"):
        compare_networks({"good": network(0), "bad": mixing}, X, ["1"], batch_size=7)
    got = compare_networks(mixing, X, ["0", "1"], batch_size=7, check_rows=False)
    assert got.n_examples == 50
    with pytest.raises(NetworkError, match=r"^bad: layer '0' .* raised"):
        compare_networks({"bad": nn.Sequential(nn.Linear(5, 2))}, X, ["0"])


def test_layers_that_are_not_finite() -> None:
    class Overflow(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x / 0

    with pytest.raises(InputError, match="NaN or"):
        compare_networks(nn.Sequential(Overflow()), X, ["0"])


def test_a_budget_that_is_too_small() -> None:
    calls = []
    model = nn.Sequential(nn.Linear(6, 1000), nn.ReLU())
    model.register_forward_hook(lambda *_: calls.append(1))
    message = (
        r"the sums of 2 layers with 2,000 features in all need \d+ MB, but 10 MB may be used "
        r"\(the argument memory\): pool the layers"
    )
    with pytest.raises(OutOfMemoryError, match=message):
        compare_networks(model, X, ["0", "1"], batch_size=10, memory="10MB")
    assert len(calls) == 1  # the first batch says how much is needed
    with pytest.raises(InputError, match="networks: expected at least one network"):
        compare_networks({}, X, ["0"])


def test_the_command_writes_what_a_store_would_give(project: Path) -> None:
    rewrite(project, "store: store\n", "")
    result = call("capture.yaml", "--compare", "out/compared")
    assert result.exit_code == 0, result.output
    assert not (project / "store").exists()
    folder = project / "out" / "compared"
    assert (folder / "heatmap.png").read_bytes().startswith(b"\x89PNG")
    saved = Comparison.load(folder / "comparison.npz")
    keys = [("small", 0), ("small", 10), ("wide", 4), ("wide", 8)]
    assert saved.labels == tuple(
        {"model": model, "step": step, "layer": layer}
        for model, step in keys
        for layer in ("0", "1")
    )
    rows = []
    for model, step in keys:
        linear = by_hand(weights(step, 3 if model == "small" else 5))
        rows += [linear, np.maximum(linear, 0)]
    expected = oracle.cka_matrix(rows, "unbiased")
    np.testing.assert_allclose(saved.cka, expected, rtol=0, atol=1e-5)  # of float32 layers
    with (folder / "results.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 28
    for row, (a, b) in zip(table, saved.pairs.tolist(), strict=True):
        assert (row["model_a"], row["layer_b"]) == (
            saved.labels[a]["model"],
            saved.labels[b]["layer"],
        )
        assert float(row["cka"]) == saved.cka[a, b]
        assert float(row["cka_biased"]) == saved.biased[a, b]
    assert "8 layers of 4 checkpoints" in result.output
    assert "and 18 other pairs" in result.output
    as_json = json.loads(call("capture.yaml", "--compare", "out/compared", "--json").stdout)
    assert as_json["n_examples"] == 9
    assert [checkpoint["outcome"] for checkpoint in as_json["checkpoints"]] == ["compared"] * 4


def test_calls_that_do_not_fit(project: Path) -> None:
    def refusal(*options: str) -> str:
        result = call("capture.yaml", *options)
        assert result.exit_code in (1, 2), result.output
        return " ".join(result.stderr.split())

    assert "--compare stores nothing" in refusal("--compare", "out", "--overwrite")
    assert "--memory: only with --compare" in refusal("--memory", "1GB")
    assert "the sums of 8 layers" in refusal("--compare", "out", "--memory", "1kB")
    rewrite(project, ":build", ":kept")
    rewrite(project, ", options: {width: 5}", "")
    assert ":kept returned the same network for two checkpoints" in refusal("--compare", "out")
    rewrite(project, "store: store\n", "")
    assert "store is missing: expected the folder" in refusal()
    (project / "runs" / "small" / "checkpoint_step_00010.pt").write_bytes(b"")
    assert "small, step 10: " in refusal("--compare", "out")
    assert not (project / "out").exists()
