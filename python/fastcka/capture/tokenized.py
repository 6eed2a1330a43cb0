"""From texts to a probe set: tokens, padding and mask of a tokenizer of Hugging Face."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastcka.capture.probe import Probe
from fastcka.digests import text_digest
from fastcka.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastcka.capture.text_keys import TextKeys
    from fastcka.capture.texts import Texts


def tokenized_probe(
    texts: Texts, tokenizer: Any, keys: TextKeys, *, batch_axis: int | Mapping[str, int] = 0
) -> Probe:
    """Return the inputs of a network for texts.

    Special tokens are added as the tokenizer does by default, and padding is on the right, where it
    changes no position of a token. A tokenizer without a padding token pads with its end token; the
    mask excludes padding either way.

    Parameters
    ----------
    texts
        The texts. Without ids, the id of an example is the digest of its text.
    tokenizer : transformers.PreTrainedTokenizerBase
        The tokenizer. Its padding token and side are set.
    keys
        ``max_length``, ``padding`` and ``truncation``.
    batch_axis
        As for `Probe`.

    Raises
    ------
    InputError
        If a text has too many tokens and is not to be cut, if two texts are equal and have no ids,
        if the tokenizer has neither a padding nor an end token, or if `Probe` refuses the result.
    """
    ids = _distinct_digests(texts) if texts.ids is None else texts.ids
    if not keys.truncation:
        _check_lengths(texts, tokenizer, keys.max_length)
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise InputError(
                f"tokenizer: expected a padding or an end token, and {type(tokenizer).__name__} "
                "has neither; save a tokenizer with a padding token, and name its folder"
            )
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    inputs = tokenizer(
        texts.texts,
        padding=keys.padding,
        truncation=keys.truncation,
        max_length=keys.max_length,
        return_attention_mask=True,
        return_tensors="np",
    )
    try:
        return Probe(dict(inputs), ids, columns=texts.columns, batch_axis=batch_axis)
    except InputError as error:
        raise InputError(f"{texts.where}: {error}") from None


def _distinct_digests(texts: Texts) -> list[str]:
    first: dict[str, int] = {}
    for position, text in enumerate(texts.texts):
        if (earlier := first.setdefault(text, position)) != position:
            raise InputError(
                f"{texts.where}: texts {earlier + 1} and {position + 1} are equal, and ids are "
                "digests of the texts; remove one of them, or name a field with ids (ids: NAME)"
            )
    return [text_digest(text) for text in texts.texts]


def _check_lengths(texts: Texts, tokenizer: Any, most: int) -> None:
    tokens = tokenizer(texts.texts, padding=False, truncation=False)["input_ids"]
    lengths = [len(row) for row in tokens]
    longer = sum(length > most for length in lengths)
    if longer:
        longest = max(range(len(lengths)), key=lengths.__getitem__)
        raise InputError(
            f"{texts.where}: expected at most {most} tokens in a text (max_length), got more in "
            f"{longer} of {len(lengths)} texts; text {longest + 1} is the longest with "
            f"{lengths[longest]}. Increase max_length, or cut longer texts with truncation: true"
        )
