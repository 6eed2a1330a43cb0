"""The input of digests, which files on disk depend on."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from fastcka.digests import (
    arrays_digest,
    bytes_digest,
    file_digest,
    json_digest,
    new_digest,
    text_digest,
)


def test_the_digest_of_bytes_is_blake2b_of_16_bytes() -> None:
    # The first 8 and 16 bytes differ: BLAKE2b mixes its size in.
    assert bytes_digest(b"abc") == "cf4ab791c62b8d2b2109c90275287816"
    assert bytes_digest(b"abc", 8) == hashlib.blake2b(b"abc", digest_size=8).hexdigest()
    parts = new_digest()
    parts.update(b"a")
    parts.update(b"bc")
    assert parts.hexdigest() == bytes_digest(b"abc")


def test_text_is_utf_8_and_may_contain_lone_surrogates() -> None:
    assert text_digest("é") == bytes_digest(b"\xc3\xa9")
    assert text_digest("\ud800") == bytes_digest(b"\xed\xa0\x80")


def test_json_content_does_not_depend_on_the_order_of_keys() -> None:
    assert json_digest({"b": [1, None], "a": "é"}) == bytes_digest(
        rb'{"a": "\u00e9", "b": [1, null]}'
    )


def test_the_digest_of_a_file_is_what_b2sum_prints(tmp_path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    with path.open("rb") as file:
        assert file_digest(file).startswith("ba80a53f981c4d0d6a2797b69f12f6e9")  # RFC 7693


def test_the_digest_of_arrays_depends_on_name_dtype_shape_and_order() -> None:
    x = np.array([[1, 2], [3, 4]], np.int16)
    expected = bytes_digest(b"'x' <i2 (2, 2)\n\x01\x00\x02\x00\x03\x00\x04\x00")
    assert arrays_digest([("x", x)]) == arrays_digest([("x", x.T.copy().T)]) == expected
    others = [("y", x), ("x", x.T), ("x", x.astype(np.uint16)), ("x", x.reshape(4))]
    assert expected not in {arrays_digest([other]) for other in others}
    assert arrays_digest([("x", x), ("y", x)]) != arrays_digest([("y", x), ("x", x)])


def test_the_digest_of_tensors_depends_on_values_and_not_on_strides() -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor([1.0, 2.0], dtype=torch.bfloat16)
    expected = bytes_digest(b"'x' torch.bfloat16 (2,)\n\x80\x3f\x00\x40")
    assert arrays_digest([("x", x)]) == expected
    assert arrays_digest([("x", torch.stack([x, x], dim=1)[:, 0])]) == expected
