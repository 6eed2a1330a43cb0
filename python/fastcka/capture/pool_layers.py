"""Pooling tensors that another program captured: one row for each example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from fastcka.arrays import brief, mapping_of, plain_array, refuse_special_tensor, unwrapped
from fastcka.capture.modules import check_patterns, first_fit, fits
from fastcka.capture.pooling import Pool, pooled
from fastcka.capture.torch_library import require_torch
from fastcka.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch


def pool_layers(
    layers: Any,
    pool: Pool | Mapping[str, Pool],
    *,
    only: Sequence[str] = ("**",),
    mask: Any = None,
) -> dict[str, torch.Tensor]:
    """Return tensors with one row for each example, for `fastcka.compare` and `Store.write`.

    `fastcka.compare` and `Store.write` flatten all axes after the first, which is rarely useful
    for tokens and positions in an image. This function makes the choice explicit.

    Parameters
    ----------
    layers
        Name -> tensor, (n_examples, ...): a dict, an ActivationCache of TransformerLens, values
        that nnsight saved, or the dict of a feature extractor. Or a list of tensors, which then
        have the names "0", "1", ...
    pool
        How tensors with more than two axes are reduced: "mean_tokens", "last_token" or "cls" for
        (n_examples, n_tokens, n_features); "spatial_mean" for (n_examples, n_channels, ...);
        "flatten" for all axes. A mapping gives a choice for each pattern of names, such as
        ``{"conv*": "spatial_mean", "**": "flatten"}``; the first pattern that matches counts.
        Tensors with two axes are returned as they are.
    only
        Patterns of the names to return; ``*`` stops at dots, ``**`` does not, and ``!`` excludes.
    mask
        (n_examples, n_tokens): True or 1 where a token is real, such as an attention mask. Default:
        all tokens are real.

    Returns
    -------
    dict
        Name -> tensor on the CPU, in the order of ``layers``.

    Raises
    ------
    InputError
        If a value is no tensor, its shape does not fit its pooling or the mask, or a pattern
        matches no name.
    MissingExtraError
        If PyTorch is not installed.
    """
    require_torch()
    numbered = isinstance(layers, list | tuple)
    named = dict(enumerate(layers)) if numbered else mapping_of(layers)
    if not named:
        raise InputError(
            f"layers: expected a mapping or list of at least one tensor, got {brief(layers)}"
        )
    names = [name for name in named if fits(str(name), only)]
    if not names:
        raise InputError(
            f"only: {list(only)} matches none of the layers {', '.join(map(str, list(named)[:8]))}"
        )
    check_patterns("pool", pool, [[str(name)] for name in names])
    real = None if mask is None else _checked_mask(mask)
    return {str(name): _pooled(str(name), named[name], pool, real) for name in names}


def _pooled(
    name: str, value: Any, pool: Pool | Mapping[str, Pool], real: torch.Tensor | None
) -> torch.Tensor:
    where = f"layers[{name!r}]"
    if not hasattr(value, "ndim"):
        raise InputError(f"{where}: expected a tensor, got {type(value).__name__}")
    tensor = _as_tensor(where, value)
    if tensor.ndim < 2:
        raise InputError(
            f"{where}: expected (n_examples, n_features) or more axes, got the shape "
            f"{tuple(tensor.shape)}; leave it out with only"
        )
    if not tensor.numel():
        raise InputError(f"{where}: expected at least one value, got {tuple(tensor.shape)}")
    if tensor.ndim == 2:
        return tensor
    if isinstance(pool, Mapping):
        match = first_fit([name], pool)
        how = match[1] if match is not None else None
    else:
        how = pool
    if how is None or how == "none" or how not in get_args(Pool):
        raise InputError(
            f"pool: layer {name!r} has the shape {tuple(tensor.shape)}; expected one of "
            f"{', '.join(choice for choice in get_args(Pool) if choice != 'none')} for it, "
            f"got {how!r}"
        )
    if how == "spatial_mean":
        return pooled(tensor, how, None, layer=name)
    if real is not None and tensor.shape[:2] != real.shape:
        raise InputError(
            f"mask: expected the shape {tuple(tensor.shape[:2])}, as of layer {name!r}, got "
            f"{tuple(real.shape)}"
        )
    return pooled(tensor, how, real, layer=name)


def _as_tensor(where: str, value: Any) -> torch.Tensor:
    """Return a tensor or array as a tensor on the CPU.

    Raises
    ------
    InputError
        It contains no numbers, or not one by one in its memory.
    """
    import torch

    if isinstance(value, torch.Tensor):
        refuse_special_tensor(value, where)
        if value.is_meta:
            raise InputError(f"{where}: expected values, got a tensor on the meta device")
        return value.detach().cpu()
    try:
        if hasattr(value, "__cuda_array_interface__"):
            return torch.as_tensor(value).cpu()
        array = plain_array(unwrapped(value, where), where, shift=False)
        # PyTorch takes neither another byte order nor negative strides.
        array = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
        return torch.as_tensor(array)
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{where}: expected a tensor, got {type(value).__name__}") from error


def _checked_mask(mask: Any) -> torch.Tensor:
    values = _as_tensor("mask", mask)
    # A mask to be added to attention scores, with 0 for real tokens, would be inverted.
    if not bool(((values == 0) | (values == 1)).all()):
        raise InputError(
            "mask: expected True or 1 where a token is real and False or 0 elsewhere, got other "
            "values: of a mask that is added to attention scores, pass mask == 0"
        )
    real = values.bool()
    if real.ndim != 2 or not bool(real.any(1).all()):
        raise InputError(
            "mask: expected (n_examples, n_tokens) with at least one real token in each row, got "
            f"the shape {tuple(real.shape)}"
        )
    return real
