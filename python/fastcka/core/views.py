"""Views of representations in the memory of the CPU or of a CUDA device."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastcka.errors import InputError

#: Bytes of a value of each dtype that a pass reads.
ITEMSIZE = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}

#: The dtypes that a pass reads in place. NumPy computes the name of a dtype at each request.
NATIVE = {np.dtype(name): name for name in ("float16", "float32", "float64")}


class ArrayView(NamedTuple):
    """A view on the CPU, with strides in bytes and the object that keeps the memory alive."""

    owner: object
    address: int
    n_examples: int
    n_features: int
    row_stride: int
    column_stride: int
    dtype: str
    staged: bool = False


class DeviceView(NamedTuple):
    """A view on a CUDA device. The work that writes it is queued on ``stream``, a handle."""

    owner: object
    address: int
    n_examples: int
    n_features: int
    row_stride: int
    column_stride: int
    dtype: str
    device: int
    stream: int


View = ArrayView | DeviceView


def absent_array(n_examples: int, n_features: int, dtype: str, staged: bool) -> ArrayView:
    """Return a view without memory, for planning."""
    return ArrayView(None, 0, n_examples, n_features, 0, 0, dtype, staged)


def check_shape(shape: tuple[int, ...], name: str) -> None:
    """Refuse a shape other than (n_examples, n_features) with at least one of each."""
    if len(shape) < 2:
        hint = " (a single feature is x[:, None])" if len(shape) == 1 else ""
        raise InputError(
            f"{name} must have shape (n_examples, n_features), got {tuple(shape)}{hint}"
        )
    if 0 in shape:
        raise InputError(f"{name} is empty: its shape is {tuple(shape)}")


def check_torch_dtype(dtype: str, name: str) -> None:
    """Refuse dtypes of torch other than real numbers of at least 16 bits."""
    if dtype.startswith(("complex", "float8", "float4")):
        raise InputError(f"{name} must hold real numbers of at least 16 bits, got {dtype}")
