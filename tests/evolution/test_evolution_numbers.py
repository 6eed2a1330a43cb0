"""Every number of the JSON files, computed again without code of the package."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import oracle
from fastcka.evolution.activations import sparsity, units
from fastcka.evolution.attention import specialization
from fastcka.evolution.diversity import diversity, effective_rank, participation_ratio, silhouettes

PHASES = {"early": 4, "mid": 12, "late": 20}
PAIRS = {f"{a}_vs_{b}": (a, b) for a, b in itertools.combinations(PHASES, 2)}


def state(trained, experiment, step, seed=0):
    path = trained / f"seed{seed}" / experiment / f"checkpoint_step_{step:05d}.pt"
    return torch.load(path, weights_only=True)["model_state_dict"]


@pytest.fixture(params=["attention", "convolution"])
def case(request, trained, analysed, strict):
    content = strict(analysed / f"{request.param}_analysis.json")
    assert content["experiment"] == request.param
    assert content["phases"] == PHASES
    assert content["steps"] == [0, 4, 8, 12, 20]
    return trained, request.param, content


def test_weights(case):
    trained, experiment, content = case
    states = {name: state(trained, experiment, step) for name, step in PHASES.items()}
    assert set(content["weights"]) == set(states["early"])
    for name, tensor in content["weights"].items():
        for pair, (a, b) in PAIRS.items():
            x, y = (states[phase][name].double().numpy() for phase in (a, b))
            u, v = x.ravel(), y.ravel()
            cosine = u @ v / np.sqrt((u @ u) * (v @ v))
            assert tensor["similarity"][pair] == pytest.approx(cosine, abs=1e-12)
            change = np.sqrt(((v - u) ** 2).sum() / (u**2).sum())
            assert tensor["relative_change"][pair] == pytest.approx(change, abs=1e-12)
            if x.ndim > 1:
                rows = [
                    np.dot(p.ravel(), q.ravel()) / np.linalg.norm(p) / np.linalg.norm(q)
                    for p, q in zip(x, y, strict=True)
                ]
                np.testing.assert_allclose(tensor["filters"][pair], rows, atol=1e-6)
        assert ("filters" in tensor) == (len(tensor["shape"]) > 1)


def test_diversity_of_weights(case):
    trained, experiment, content = case
    seen = 0
    for name, tensor in content["weights"].items():
        for phase, numbers in tensor.get("diversity", {}).items():
            matrix = state(trained, experiment, PHASES[phase])[name].double().numpy()
            matrix = matrix.reshape(len(matrix), -1)
            squares = np.clip(np.linalg.eigvalsh(matrix @ matrix.T), 0, None)
            p = np.sqrt(squares) / np.sqrt(squares).sum()
            p = p[p > 1e-9]
            rank = np.exp(-sum(p * np.log(p)))
            assert numbers["effective_rank"]["value"] == pytest.approx(rank, rel=1e-5)
            ratio = np.trace(matrix @ matrix.T) ** 2 / np.sum((matrix @ matrix.T) ** 2)
            assert numbers["participation_ratio"]["value"] == pytest.approx(ratio)
            for field in ("effective_rank", "participation_ratio"):
                null = numbers[field]["null"]
                assert null["low"] <= null["mean"] <= null["high"]
            seen += 1
    assert seen >= 6


def test_cka(case, analysed):
    _, experiment, content = case
    from fastcka.store import Key, open_store

    with open_store(analysed / "activations") as store:
        for layer, facts in content["activations"].items():
            arrays = [store.read(Key(experiment, step, layer)) for step in content["steps"]]
            unbiased = oracle.cka_matrix(arrays, "unbiased")
            np.testing.assert_allclose(facts["cka_by_step"], unbiased, atol=1e-6)
            biased = oracle.cka_matrix(arrays, "biased")
            np.testing.assert_allclose(facts["cka_biased_by_step"], biased, atol=1e-6)
            position = {step: index for index, step in enumerate(content["steps"])}
            for pair, (a, b) in PAIRS.items():
                expected = unbiased[position[PHASES[a]], position[PHASES[b]]]
                assert facts["cka"][pair] == pytest.approx(expected, abs=1e-6)
            zeros = np.mean(arrays[position[12]] == 0)
            assert facts["sparsity"]["mid"]["zeros"] == pytest.approx(zeros)


def test_activations_are_those_of_the_checkpoint(trained, analysed):
    from fastcka.store import Key, open_store

    inputs = np.load(trained / "probe.npz")["inputs"]
    weights = state(trained, "attention", 12)
    expected = inputs @ weights["0.weight"].numpy().T + weights["0.bias"].numpy()
    with open_store(analysed / "activations") as store:
        rows = store.read(Key("attention", 12, "0"))
        np.testing.assert_allclose(rows, expected.reshape(40, -1), atol=1e-5)
        assert list(store.examples(Key("attention", 12, "0")).ids[:2]) == ["example0", "example1"]


def test_attention_against_softmax_by_hand(trained, analysed, strict):
    content = strict(analysed / "attention_analysis.json")
    (facts,) = content["attention"].values()
    weights = {
        name: tensor.double().numpy() for name, tensor in state(trained, "attention", 20).items()
    }
    x = np.load(trained / "probe.npz")["inputs"] @ weights["0.weight"].T + weights["0.bias"]
    projected = x @ weights["1.self_attn.in_proj_weight"].T + weights["1.self_attn.in_proj_bias"]
    entropies, maps = [], []
    for head in range(2):
        q = projected[:, :, 5 * head : 5 * head + 5]
        k = projected[:, :, 10 + 5 * head : 15 + 5 * head]
        scores = np.exp(q @ k.transpose(0, 2, 1) / np.sqrt(5))
        p = scores / scores.sum(axis=2, keepdims=True)
        entropies.append(np.mean(-(p * np.log(p)).sum(axis=2)))
        maps.append(p.mean(axis=0))
    np.testing.assert_allclose(facts["late"]["entropy"], entropies, atol=1e-5)
    np.testing.assert_allclose(facts["late"]["mean_map"], maps, atol=1e-5)
    assert facts["late"]["entropy_of_uniform"] == pytest.approx(np.log(4))
    mean = (maps[0] + maps[1]) / 2
    kl = [np.mean((m * np.log(m / mean)).sum(axis=1)) for m in maps]
    expected = (kl[0] + kl[1]) / 2 / np.log(2)
    assert facts["late"]["specialization"] == pytest.approx(expected, abs=1e-5)
    assert strict(analysed / "convolution_analysis.json")["attention"] == {}


def test_the_extremes_of_specialization():
    same = np.full((3, 2, 4), 0.25)
    assert specialization(same) == pytest.approx(0)
    apart = np.eye(4)[:3][:, None, :].repeat(2, axis=1)
    assert specialization(apart) == pytest.approx(1)
    padded = np.concatenate([apart, np.full((3, 1, 4), np.nan)], axis=1)
    assert specialization(padded) == pytest.approx(1)


def test_rank_and_ratio_of_known_spectra():
    assert effective_rank(np.eye(5)) == pytest.approx(5)
    assert participation_ratio(np.eye(5)) == pytest.approx(5)
    assert effective_rank(np.outer([1, 2], [3, 4.0])) == pytest.approx(1)
    values = np.diag([3.0, 1.0])
    p = np.array([0.75, 0.25])
    assert effective_rank(values) == pytest.approx(np.exp(-(p * np.log(p)).sum()))
    assert participation_ratio(values) == pytest.approx(10**2 / (81 + 1))
    assert np.isnan(effective_rank(np.zeros((2, 2))))
    assert np.isnan(participation_ratio(np.zeros((2, 2))))


def test_silhouette_by_its_definition(rng):
    centers = np.repeat([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]], 6, axis=0)
    rows = centers + rng.standard_normal(centers.shape)
    labels = np.repeat([0, 1, 2], 6)  # k-means finds clusters so far apart
    scores = []
    for i, row in enumerate(rows):
        distance = np.sqrt(((rows - row) ** 2).sum(axis=1))
        a = distance[labels == labels[i]].sum() / 5
        b = min(distance[labels == other].mean() for other in range(3) if other != labels[i])
        scores.append((b - a) / max(a, b))
    two, three, many = silhouettes(rows, (2, 3, 18), seed=0)
    assert three == pytest.approx(np.mean(scores))
    assert two < three
    assert np.isnan(many)


def test_diversity_distinguishes_structure_from_its_null(rng):
    low_rank = rng.standard_normal((24, 2)) @ rng.standard_normal((2, 12))
    rank = diversity(low_rank, permutations=9)["effective_rank"]
    assert rank["value"] < rank["null"]["low"]
    noise = diversity(rng.standard_normal((24, 12)), permutations=39)
    null = noise["participation_ratio"]["null"]
    assert null["low"] <= noise["participation_ratio"]["value"] <= null["high"]
    clusters = rng.standard_normal((3, 12)).repeat(8, axis=0) + 0.01 * rng.standard_normal((24, 12))
    silhouette = diversity(clusters, permutations=9)["silhouette"]
    best = int(np.argmax(silhouette["value"]))
    assert silhouette["clusters"][best] == 3
    assert silhouette["value"][best] > silhouette["null"]["high"][best]


def test_sparsity_of_known_activations():
    numbers = sparsity(np.array([[0, 0, 0, 4.0], [0, 1, 1, 1.0]], np.float32))
    assert numbers["zeros"] == 0.5
    assert numbers["constant_features"] == 0.25
    assert numbers["treves_rolls"] == pytest.approx(1 - (0.25 + 0.75) / 2)
    assert np.isnan(sparsity(np.zeros((3, 2), np.float32))["treves_rolls"])


def test_units_of_flattened_layers():
    assert units((3,)).tolist() == [0, 1, 2]
    assert units((2, 3)).tolist() == [0, 1, 2, 0, 1, 2]  # tokens, units
    assert units((2, 1, 3)).tolist() == [0, 0, 0, 1, 1, 1]  # channels, height, width
