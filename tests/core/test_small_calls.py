"""What a small call does not do, and what calls of one shape do not share."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import numpy as np
import pytest

import fastcka
from fastcka.core import plan_pass
from fastcka.errors import InputError

FIRST_CALL = """
    import sys
    import numpy as np, fastcka
    from fastcka.core import device
    from fastcka.core.cuda.status import cupy_is_there

    def refuse(*arguments):
        raise AssertionError("the speed was measured")

    device.speed_of = refuse
    x = np.random.default_rng(0).standard_normal((1000, 64)).astype("float32")
    fastcka.cka(x, x)
    fastcka.compare([x, x[::-1]])
    fastcka.cka(x.tolist(), x)
    assert not {"numpy.ma", "fastcka._cuda", "cupy"} & set(sys.modules)
    if not cupy_is_there():  # no GPU can be used, whatever the size
        wide = np.ones((1000, 3000), "float32")
        wide[::2] = 2
        fastcka.cka(wide, wide)
"""


def test_a_call_without_a_choice_measures_nothing():
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FIRST_CALL)],
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
        timeout=60,
    )


def test_calls_of_one_shape_share_nothing_that_a_caller_can_change(rng):
    x, y = rng.standard_normal((2, 70, 5))
    first = fastcka.compare({"x": x, "y": y})
    first.labels[0]["label"] = "changed"
    first.pairs[:] = 0
    first.provenance["route"] = "none"
    second = fastcka.compare({"x": x, "y": y})
    assert second.names == ["x", "y"]
    assert second.pairs.tolist() == [[0, 1]]
    assert second.provenance["route"] in "GF"


def test_labels_that_are_equal_but_not_the_same_keep_their_type(rng):
    xs = rng.standard_normal((2, 10, 3))
    for labels in ([1, 2], [True, 2], [1.0, 2], ["1", "2"]):
        result = fastcka.compare(xs, labels=labels)
        assert [type(each["label"]) for each in result.labels] == [type(each) for each in labels]


def test_a_plan_depends_on_the_dtype():
    sizes = {
        dtype: plan_pass(70, [5, 6], dtype=dtype).bytes_inputs
        for dtype in ("float32", "float64", "float32", "float16")
    }
    assert sizes == {"float32": 70 * 11 * 4, "float64": 70 * 11 * 8, "float16": 70 * 11 * 2}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_one_call_and_the_matrix_have_the_same_bits(rng, dtype):
    x, y = rng.standard_normal((2, 50, 7)).astype(dtype)
    for estimator in ("biased", "unbiased"):
        result = fastcka.compare([x, y], estimator=estimator)
        assert fastcka.cka(x, y, estimator=estimator) == result.cka[0, 1]
        assert fastcka.hsic(x, y, estimator=estimator) == result.hsic[0, 1]


def test_masked_arrays_are_still_refused(rng):
    x = np.ma.masked_array(rng.standard_normal((10, 2)), mask=False)
    with pytest.raises(InputError, match="is a masked array"):
        fastcka.cka(x, np.zeros((10, 2)))
