"""The networks of the demo: their seeds and layers."""

from __future__ import annotations

import pytest
import torch

from fastcka.capture import capture_activations
from fastcka.demo.networks import FAMILIES, LAYERS, Family, build_network


@pytest.mark.parametrize("family", FAMILIES)
def test_every_named_layer_is_captured_and_logits_are_the_output(family: Family) -> None:
    network = build_network(family, 0)
    images = torch.rand(7, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    captured = capture_activations(network, images, LAYERS[family])
    assert list(captured) == list(LAYERS[family])
    assert captured["logits"].shape == (7, 10)
    torch.testing.assert_close(torch.from_numpy(captured["logits"]), network(images).detach())


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_depend_on_the_seed_only(family: Family) -> None:
    torch.manual_seed(5)
    first = build_network(family, 1).state_dict()
    expected = torch.rand(1, generator=torch.Generator().manual_seed(5))
    assert torch.equal(torch.rand(1), expected)  # the caller's state is unchanged
    again, other = build_network(family, 1).state_dict(), build_network(family, 2).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["logits.weight"], other["logits.weight"])


def test_transformer_sees_sixteen_patches_of_two_by_two() -> None:
    network = build_network("transformer", 0)
    images = torch.zeros(2, 1, 8, 8)
    images[1, 0, 2, 5] = 1.0  # row 2, column 5: patch row 1, patch column 2
    captured = capture_activations(network, images, ["embedding"])["embedding"]
    tokens = captured.reshape(2, 16, -1)
    changed = (tokens[0] != tokens[1]).any(axis=1).nonzero()[0]
    assert changed.tolist() == [1 * 4 + 2]
