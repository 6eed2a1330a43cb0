"""Pooling the values of a module for a batch into one row for each example."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from fastcka.errors import InputError

if TYPE_CHECKING:
    import torch

Pool = Literal["none", "flatten", "mean_tokens", "last_token", "cls", "spatial_mean"]
POOLS: tuple[Pool, ...] = get_args(Pool)


def pooled(
    values: torch.Tensor, pool: Pool, real: torch.Tensor | None, *, layer: str
) -> torch.Tensor:
    """Reduce the output of a module.

    Parameters
    ----------
    values : tensor, shape (n_rows, ...)
        The output for a batch.
    pool
        ``"none"`` keeps the axes; ``"flatten"`` merges all axes after the first. Both set padding
        to zero. For (n_rows, n_tokens, n_features), ``"mean_tokens"`` is the mean over the real
        tokens, ``"last_token"`` the last real token and ``"cls"`` the first real token, with
        padding on either side. For (n_rows, n_channels, ...), ``"spatial_mean"`` is the mean over
        all axes after the second.
    real : tensor of bool, shape (n_rows, n_tokens), or None
        Where a token is real; None if all are. With a mask, the second axis is the tokens.
    layer
        The layer's name, for messages.

    Returns
    -------
    tensor
        May share memory with ``values``. Means are float64 for float64, else float32.

    Raises
    ------
    InputError
        If the shape does not fit the pooling.
    """
    import torch

    if pool in ("none", "flatten"):
        if real is not None:
            padding = ~real.reshape(*real.shape, *[1] * (values.ndim - 2))
            values = values.masked_fill(padding, 0)
        return values if pool == "none" and values.ndim > 1 else values.reshape(len(values), -1)
    wide = torch.promote_types(values.dtype, torch.float32)
    if pool == "spatial_mean":
        if values.ndim < 3:
            raise _misfit(layer, pool, "(n_examples, n_channels, ...)", values)
        return values.flatten(2).mean(dim=2, dtype=wide)
    if values.ndim != 3:
        raise _misfit(layer, pool, "(n_examples, n_tokens, n_features)", values)
    if real is None:
        if pool == "mean_tokens":
            return values.mean(dim=1, dtype=wide)
        return values[:, -1 if pool == "last_token" else 0]
    real = real.to(values.device)
    if pool == "mean_tokens":
        # No product with the mask: padding after masked attention may be NaN, and 0 * NaN is NaN.
        total = values.masked_fill(~real[..., None], 0).sum(dim=1, dtype=wide)
        return total / real.sum(dim=1, keepdim=True)
    if pool == "cls":
        position = real.int().argmax(dim=1)
    else:
        position = real.shape[1] - 1 - real.flip(1).int().argmax(dim=1)
    return values[torch.arange(len(values), device=values.device), position]


def _misfit(layer: str, pool: Pool, expected: str, values: torch.Tensor) -> InputError:
    return InputError(
        f"layer {layer!r}: expected the shape {expected} for pool {pool!r}, got "
        f"{tuple(values.shape)}. To pool this layer in another way, write "
        f"pool={{{layer!r}: 'flatten', '**': {pool!r}}}"
    )
