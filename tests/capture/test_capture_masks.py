"""Which mask belongs to which layer, checked by means over the real tokens by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fastcka.capture import Probe, capture_activations, capture_attention
from fastcka.errors import InputError

N, T, D = 4, 3, 2
SOURCE = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 1], [1, 0, 0]])
TARGET = np.array([[1, 1, 0], [1, 1, 1], [1, 0, 0], [1, 1, 0]])
HIDDEN = np.random.default_rng(0).normal(size=(N, T, D)).astype(np.float32)
NAMES = ("input_ids", "attention_mask", "decoder_input_ids", "decoder_attention_mask")


class EncoderDecoder(nn.Module):
    """The encoder looks up HIDDEN, the decoder 10 HIDDEN."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding.from_pretrained(torch.from_numpy(HIDDEN.reshape(N * T, D)))
        self.encoder = nn.Identity()
        self.decoder = nn.Identity()

    def forward(self, input_ids: torch.Tensor, **others: torch.Tensor) -> torch.Tensor:
        self.encoder(self.words(input_ids))
        return self.decoder(10 * self.words(others.get("decoder_input_ids", input_ids)))


def inputs(*names: str) -> dict[str, Any]:
    ids = np.arange(N * T).reshape(N, T)
    values = (ids, SOURCE, ids, TARGET)
    return {name: value for name, value in zip(NAMES, values, strict=True) if name in names}


def mean(values: Any, mask: Any) -> Any:
    return np.array(
        [
            sum(values[row, token] for token in range(T) if mask[row, token]) / sum(mask[row])
            for row in range(N)
        ]
    )


def test_each_layer_has_the_mask_given_for_it() -> None:
    masks = {"dec*": "decoder_attention_mask", "**": "attention_mask"}
    layers = ["encoder", "decoder"]
    got = capture_activations(
        EncoderDecoder(), inputs(*NAMES), layers, pool="mean_tokens", masks=masks
    )
    np.testing.assert_allclose(got["encoder"], mean(HIDDEN, SOURCE), rtol=1e-6)
    np.testing.assert_allclose(got["decoder"], mean(10 * HIDDEN, TARGET), rtol=1e-6)
    flat = capture_activations(EncoderDecoder(), inputs(*NAMES), layers, pool="none", masks=masks)
    np.testing.assert_array_equal(flat["encoder"], HIDDEN * SOURCE[..., None])
    np.testing.assert_array_equal(flat["decoder"], 10 * HIDDEN * TARGET[..., None])


@pytest.mark.parametrize("pool", ["mean_tokens", "last_token", "cls", "flatten", "none"])
def test_two_masks_and_no_choice(pool: Any) -> None:
    message = (
        r"layer 'decoder': it is unclear.*attention_mask \(3 tokens\), decoder_attention_mask "
        r"\(3 tokens\) and the inputs input_ids, decoder_input_ids\. .*masks=\{'decoder': NAME\}"
    )
    with pytest.raises(InputError, match=message):
        capture_activations(EncoderDecoder(), inputs(*NAMES), ["decoder"], pool=pool)
    encoder_only = {"encoder": "attention_mask"}
    with pytest.raises(InputError, match="layer 'decoder'"):
        capture_activations(
            EncoderDecoder(), inputs(*NAMES), ["encoder", "decoder"], pool=pool, masks=encoder_only
        )


@pytest.mark.parametrize(
    "others",
    [
        {"decoder_input_ids": np.arange(N * T).reshape(N, T)},  # one mask, two sequences
        {"pixel_values": np.zeros((N, 3, 8, 8), np.float32)},  # may have T patches
        {"global_attention_mask": TARGET},
        {"key_padding_mask": 1 - TARGET},
    ],
)
def test_one_attention_mask_and_something_else(others: dict[str, Any]) -> None:
    probe = {**inputs("input_ids", "attention_mask"), **others}
    with pytest.raises(InputError, match=rf"unclear.*{next(iter(others))}"):
        capture_activations(EncoderDecoder(), probe, ["decoder"])
    got = capture_activations(
        EncoderDecoder(), probe, ["decoder"], pool="cls", masks="attention_mask"
    )
    np.testing.assert_array_equal(got["decoder"], 10 * HIDDEN[:, 0])


def test_inputs_that_describe_the_tokens_are_not_another_sequence() -> None:
    probe = {
        **inputs("input_ids", "attention_mask"),
        "token_type_ids": np.zeros((N, T), np.int64),
        "position_ids": np.tile(np.arange(T), (N, 1)),
        "labels": np.zeros((N, T), np.int64),
        "lengths": SOURCE.sum(axis=1),
    }
    got = capture_activations(EncoderDecoder(), probe, ["encoder"], pool="mean_tokens")
    np.testing.assert_allclose(got["encoder"], mean(HIDDEN, SOURCE), rtol=1e-6)


def test_a_padding_mask_is_not_ignored_and_can_be_inverted() -> None:
    probe = {**inputs("input_ids"), "src_key_padding_mask": SOURCE == 0}
    for pool in ("mean_tokens", "flatten"):
        with pytest.raises(InputError, match=r"unclear.*src_key_padding_mask"):
            capture_activations(EncoderDecoder(), probe, ["encoder"], pool=pool)  # type: ignore[arg-type]
    got = capture_activations(
        EncoderDecoder(), probe, ["encoder"], pool="mean_tokens", masks="!src_key_padding_mask"
    )
    np.testing.assert_allclose(got["encoder"], mean(HIDDEN, SOURCE), rtol=1e-6)
    everything = capture_activations(
        EncoderDecoder(), probe, ["encoder"], pool="mean_tokens", masks={"**": None}
    )
    np.testing.assert_allclose(everything["encoder"], HIDDEN.sum(axis=1) / T, rtol=1e-6)


def test_the_mask_given_for_pooling() -> None:
    one = Probe({**inputs("input_ids"), "src_key_padding_mask": SOURCE == 0}, mask=SOURCE)
    got = capture_activations(EncoderDecoder(), one, ["encoder"], pool="mean_tokens")
    np.testing.assert_allclose(got["encoder"], mean(HIDDEN, SOURCE), rtol=1e-6)
    two = Probe(inputs("input_ids", "decoder_input_ids"), mask=TARGET)
    with pytest.raises(InputError, match=r"'decoder': it is unclear.*masks mask \(3 tokens\)"):
        capture_activations(EncoderDecoder(), two, ["decoder"])
    got = capture_activations(
        EncoderDecoder(), two, ["decoder"], pool="mean_tokens", masks={"decoder": "mask"}
    )
    np.testing.assert_allclose(got["decoder"], mean(10 * HIDDEN, TARGET), rtol=1e-6)


class Gives(nn.Module):
    """Returns a constant of any shape for each example."""

    def __init__(self, *shape: int, layer: nn.Module | None = None) -> None:
        super().__init__()
        self.table = nn.Embedding(N * T, int(np.prod(shape)))
        self.inner = layer or nn.Identity()
        self.shape = shape

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.inner(self.table(input_ids[:, 0]).unflatten(1, self.shape))


@pytest.mark.parametrize("shape", [(T, 5, 5), (T, T, T), (T, 2, 4, 4)])
def test_heads_and_channels_are_not_taken_for_tokens(shape: tuple[int, ...]) -> None:
    probe, model = inputs("input_ids", "attention_mask"), Gives(*shape)
    for masks in (None, "attention_mask", {"**": "attention_mask"}):
        with pytest.raises(InputError, match=r"may be heads or channels.*masks=\{'inner': 'attent"):
            capture_activations(model, probe, ["inner"], masks=masks)  # type: ignore[arg-type]
    rows = model.table.weight.detach().numpy()[::T].reshape(N, *shape)
    plain = capture_activations(model, probe, ["inner"], pool="none", masks={"inner": None})
    np.testing.assert_array_equal(plain["inner"], rows)
    tokens = capture_activations(
        model, probe, ["inner"], pool="none", masks={"inner": "attention_mask"}
    )
    masked = rows * SOURCE.reshape(N, T, *[1] * (len(shape) - 1))
    np.testing.assert_array_equal(tokens["inner"], masked)


def test_a_convolution_with_as_many_channels_as_there_are_tokens() -> None:
    model = Gives(T, 5, layer=nn.Conv1d(T, T, 1))
    with pytest.raises(InputError, match="may be heads or channels"):
        capture_activations(model, inputs("input_ids", "attention_mask"), ["inner"])


def test_another_number_of_tokens() -> None:
    probe, model = inputs("input_ids", "attention_mask"), Gives(7, 2)
    rows = model.table.weight.detach().numpy()[::T]
    np.testing.assert_array_equal(capture_activations(model, probe, ["inner"])["inner"], rows)
    for masks in ("attention_mask", {"inner": "attention_mask"}):
        with pytest.raises(InputError, match=r"a mask for 7 tokens, got attention_mask with 3"):
            capture_activations(model, probe, ["inner"], masks=masks)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="a mask for 7 tokens, got"):
        capture_activations(model, probe, ["inner"], pool="cls")
    got = capture_activations(model, probe, ["inner"], pool="cls", masks={"inner": None})
    np.testing.assert_array_equal(got["inner"], rows[:, :2])


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({"decoder": "decoder_mask"}, r"no mask 'decoder_mask'; did you mean decoder_attention"),
        ({"decodr": "attention_mask"}, r"masks: 'decodr' matches none of the layers; did you mean"),
        ({"decoder": SOURCE}, r"masks\['decoder'\]: expected the name of a mask, got ndarray"),
        (SOURCE, "masks: expected the name of a mask, or a mapping.*got ndarray"),
        ({"decoder": "input_ids"}, "no mask 'input_ids'"),
        ({"decoder": "additive_mask"}, r"additive_mask: expected 1 where.*from -1e\+09 to 0"),
        (
            {"decoder": "!attention_mask"},
            r"!attention_mask: expected a real token .* got none in '2'.*'!'",
        ),
    ],
)
def test_wrong_masks(masks: Any, message: str) -> None:
    additive = np.where(TARGET == 1, 0.0, -1e9)
    probe = {**inputs(*NAMES), "additive_mask": additive}
    with pytest.raises(InputError, match=message):
        capture_activations(EncoderDecoder(), probe, ["decoder"], masks=masks)


def test_a_probe_refuses_a_mask_that_is_added_to_the_scores() -> None:
    with pytest.raises(InputError, match="attention_mask: expected 1 where a token is real"):
        Probe({"input_ids": SOURCE, "attention_mask": np.where(SOURCE == 1, 0.0, -np.inf)})


def test_an_attention_mask_for_each_pair_of_tokens_needs_a_mask_for_pooling() -> None:
    pairs = {**inputs("input_ids"), "attention_mask": np.ones((N, 1, T, T), np.int64)}
    with pytest.raises(InputError, match=r"attention_mask: .*got \(4, 1, 3, 3\); .* as mask"):
        Probe(pairs)
    probe = Probe(pairs, mask=SOURCE)
    got = capture_activations(EncoderDecoder(), probe, ["encoder"], pool="mean_tokens")
    np.testing.assert_allclose(got["encoder"], mean(HIDDEN, SOURCE), rtol=1e-6)


class CrossAttention(nn.Module):
    """Self-attention over the source, then attention of the target to it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(N * T, 4)
        self.encoder = nn.MultiheadAttention(4, 1, batch_first=True)
        self.cross = nn.MultiheadAttention(4, 1, batch_first=True)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        decoder_input_ids: torch.Tensor,
        decoder_attention_mask: torch.Tensor,
    ) -> torch.Tensor:
        source, target = self.words(input_ids), self.words(decoder_input_ids)
        padding = attention_mask == 0
        source = self.encoder(source, source, source, key_padding_mask=padding)[0]
        return self.cross(target, source, source, key_padding_mask=padding)[0]


def test_the_queries_of_attention_have_the_mask_of_their_layer() -> None:
    model, probe = CrossAttention(), inputs(*NAMES)
    with pytest.raises(InputError, match="layer 'cross': it is unclear which mask"):
        capture_attention(model, Probe(probe), ["cross"])
    with pytest.raises(
        InputError, match="masks: 'crosss' matches none of the layers; did you mean"
    ):
        capture_attention(model, Probe(probe), ["cross"], masks={"**": None, "crosss": None})
    masks = {"cross": "decoder_attention_mask", "**": "attention_mask"}
    got = capture_attention(model, Probe(probe), masks=masks, keep_weights=True)
    for layer, mask in (("encoder", SOURCE), ("cross", TARGET)):
        weights = got[layer].weights
        assert weights is not None
        for row in range(N):
            p = weights[row, 0].astype(np.float64)
            entropies = -np.sum(p * np.log(np.where(p > 0, p, 1)), axis=-1)
            by_hand = np.mean([entropies[query] for query in range(T) if mask[row, query]])
            assert got[layer].entropy[row, 0] == pytest.approx(by_hand, abs=1e-6)
