"""Pooling tensors that another program captured."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import fastcka
from fastcka.capture import pool_layers
from fastcka.errors import InputError
from fastcka.store import create_store
from recipe_stand_ins import ActivationCache

N, T, D = 5, 4, 3


@pytest.fixture
def layers():
    generator = torch.Generator().manual_seed(0)
    return {
        "block.0": torch.randn(N, T, D, generator=generator),
        "block.1": torch.randn(N, T, D, generator=generator).double(),
        "maps": torch.randn(N, D, 2, T, generator=generator),
        "logits": torch.randn(N, 7, generator=generator),
    }


MASK = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [0, 1, 1, 1], [0, 0, 0, 1], [1, 0, 0, 0]])


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        ("mean_tokens", lambda x, real: x[real].mean(0)),
        ("last_token", lambda x, real: x[real][-1]),
        ("cls", lambda x, real: x[real][0]),
        ("flatten", lambda x, real: (x * real[:, None]).reshape(-1)),
    ],
)
@pytest.mark.parametrize("mask", [MASK, torch.tensor(MASK).bool(), None])
def test_tokens(layers, pool, expected, mask):
    got = pool_layers(layers, pool, only=["block.*"], mask=mask)
    assert list(got) == ["block.0", "block.1"]
    real = np.ones((N, T), bool) if mask is None else MASK.astype(bool)
    for name, rows in got.items():
        x = layers[name].numpy()
        brute = np.stack([expected(x[i], real[i]) for i in range(N)])
        np.testing.assert_allclose(rows.numpy(), brute, rtol=1e-5, atol=1e-6)
        assert rows.dtype == layers[name].dtype


def test_positions_and_layers_with_two_axes(layers):
    got = pool_layers(layers, {"maps": "spatial_mean", "block.**": "last_token"})
    assert list(got) == list(layers)
    np.testing.assert_allclose(got["maps"], layers["maps"].numpy().mean((2, 3)), rtol=1e-5)
    assert torch.equal(got["logits"], layers["logits"])


def test_a_list_a_cache_and_arrays(layers):
    tensors = list(layers.values())
    assert list(pool_layers(tensors, "flatten")) == ["0", "1", "2", "3"]
    cache = pool_layers(ActivationCache(layers), "flatten", only=["!maps", "**"])
    assert list(cache) == ["block.0", "block.1", "logits"]
    arrays = pool_layers({name: x.numpy() for name, x in layers.items()}, "flatten")
    assert torch.equal(arrays["maps"], layers["maps"].reshape(N, -1))
    maps = layers["maps"].numpy()
    for same in (maps[::-1].copy()[::-1], maps.astype(">f4")):  # which PyTorch refuses
        assert torch.equal(pool_layers([same], "flatten")["0"], arrays["maps"])


def test_a_cache_is_compared_and_stored(layers, tmp_path):
    cache = ActivationCache(layers)
    assert fastcka.compare(cache).names == list(layers)
    assert fastcka.compare(cache, layers).cka.shape == (4, 4)
    with create_store(tmp_path / "s") as store:
        store.write(model="m", step=0, layers=cache)
        assert [key.layer for key in store.keys()] == list(layers)
        np.testing.assert_array_equal(store.read(store.keys()[3]), layers["logits"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pool": "mean"}, r"layer 'block.0' has the shape \(5, 4, 3\); expected one of flatten, "),
        ({"pool": "none"}, "expected one of .* for it, got 'none'"),
        ({"pool": {"block.*": "cls"}}, r"layer 'maps' has the shape .* got None"),
        ({"pool": {"blok": "cls"}}, "pool: 'blok' matches none of the layers"),
        ({"pool": "spatial_mean", "only": ["x*"]}, "only: .* matches none of the layers block.0"),
        ({"pool": "mean_tokens"}, r"layer 'maps': expected the shape \(n_examples, n_tokens, n_f"),
        (
            {"pool": "cls", "mask": np.ones((5, 3))},
            r"mask: expected the shape \(5, 4\), as of layer",
        ),
        ({"pool": "cls", "mask": MASK * 0}, "at least one real token in each row"),
        ({"pool": "cls", "mask": "mask"}, "mask: expected a tensor, got str"),
        ({"pool": "cls", "mask": [[1], [1, 0]]}, "mask: expected rows of one length"),
        # Masks that are added to attention scores, weights, and missing values.
        ({"pool": "cls", "mask": (MASK - 1.0) * 1e4}, "pass mask == 0"),
        ({"pool": "cls", "mask": MASK * 0.5}, "expected True or 1 where a token is real"),
        ({"pool": "cls", "mask": np.where(MASK, 1, np.nan)}, "got other values"),
        ({"pool": "cls", "mask": np.ma.masked_equal(MASK, 0)}, "mask is a masked array"),
    ],
)
def test_wrong_arguments(layers, arguments, message):
    with pytest.raises(InputError, match=message):
        pool_layers(layers, **arguments)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ({}, "expected a mapping or list of at least one tensor"),
        (torch.zeros(2, 3), "expected a mapping or list of at least one tensor"),
        ({"a": (torch.zeros(2, 3),)}, r"layers\['a'\]: expected a tensor, got tuple"),
        ({"a": torch.zeros(2, 0, 3)}, r"layers\['a'\]: expected at least one value, got \(2, 0"),
        ({"a": torch.zeros(0, 2, 3)}, r"layers\['a'\]: expected at least one value, got \(0, 2"),
        ({"a": torch.ones(2, 2, 3).to_sparse()}, r"layers\['a'\] must be a dense torch tensor"),
        ({"a": torch.ones(2, 2, 3, device="meta")}, "expected values, got a tensor on the meta"),
        ({"a": np.array([["x", "y"]])}, r"layers\['a'\]: expected a tensor, got ndarray"),
        ({"a": np.ma.ones((2, 2, 3))}, r"layers\['a'\] is a masked array"),
        ({"a": torch.zeros(3)}, r"layers\['a'\]: expected \(n_examples, n_features\) or more axes"),
    ],
)
def test_layers_that_are_no_tensors(layers, message):
    with pytest.raises(InputError, match=message):
        pool_layers(layers, "flatten")
