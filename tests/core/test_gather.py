"""Views of any strides, packed into one buffer by several threads."""

from __future__ import annotations

import numpy as np
import pytest

from fastcka import _core
from fastcka.core.arrays import as_view
from fastcka.core.backend import gather


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_every_stride(rng, threads, dtype):
    whole = rng.standard_normal((700, 900)).astype(dtype)
    xs = [
        whole,  # several pieces
        np.asfortranarray(whole)[3:, 5:],
        whole[::-2, ::3],
        whole[:, ::-1],
        whole[:1],
        whole[:, :1],
        whole[5:9, 7:8].T,
        np.broadcast_to(whole[0], (40, 900)),
    ]
    offsets, end = [], 0
    for x in xs:
        offsets.append(end + 16)
        end = offsets[-1] + x.nbytes
    out = np.full(end + 16, 0xA5, np.uint8)
    gather([as_view(x, "x") for x in xs], offsets, out, threads)
    expected = np.full_like(out, 0xA5)
    for x, offset in zip(xs, offsets, strict=True):
        expected[offset : offset + x.nbytes] = np.frombuffer(x.tobytes(), np.uint8)
    np.testing.assert_array_equal(out, expected)


def test_a_view_that_does_not_fit_is_refused(rng):
    view = _core.View(*as_view(rng.standard_normal((3, 4)), "x")[1:7], False)
    for offset, size in ((0, 95), (1, 96), (-1, 200)):
        with pytest.raises(ValueError, match="view 0 does not fit into out"):
            _core.gather([view], offsets=[offset], out=np.zeros(size, np.uint8), threads=1)
    with pytest.raises(ValueError, match="an offset for each view"):
        _core.gather([view], offsets=[], out=np.zeros(96, np.uint8), threads=1)
