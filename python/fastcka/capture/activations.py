"""The activations of named modules of a network, for a fixed set of inputs, in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcka.capture.listening import SIDES, Listener, Side, run_on_probe
from fastcka.capture.pooling import POOLS, Pool, pooled
from fastcka.capture.probe import Probe
from fastcka.capture.selection import glob_matches, select_modules
from fastcka.capture.torch_library import require_torch
from fastcka.capture.wrappers import unwrapped
from fastcka.errors import InputError
from fastcka.out_of_memory import CAPTURE_REMEDY, named_shortage

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from numpy.typing import NDArray

    from fastcka.capture.selection import SelectedModule

    Allocate = Callable[[tuple[int, ...]], NDArray[np.float32]]

Pools = Pool | Mapping[str, Pool]
"""One pooling for all layers, or one for each name or pattern; the first that fits counts."""


@named_shortage("capturing activations", CAPTURE_REMEDY)
def capture_activations(
    model: torch.nn.Module,
    inputs: Probe | torch.Tensor | NDArray[Any] | Mapping[str, torch.Tensor | NDArray[Any]],
    layers: Sequence[str],
    *,
    pool: Pools = "flatten",
    side: Side = "output",
    batch_size: int = 256,
    allocate: Allocate | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Run ``model`` on ``inputs`` and return what the named modules gave out, or were given.

    The model runs in eval mode and inference mode, one batch after the other in the order of the
    inputs. Afterwards, and after an exception too, no hook is left on it, each submodule has the
    ``training`` flag that it came with, and the random number generators are where they were. Each
    output is pooled and copied the moment the module returns it, so that an in-place operation
    further down (``nn.ReLU(inplace=True)``) does not reach it, and no more than one batch of what
    is not pooled is in memory.

    Parameters
    ----------
    model : torch.nn.Module
        Called as ``model(batch)``, or with the keyword arguments of the probe. Batches are moved
        to the device of its first parameter.
    inputs : Probe, or what one is made of: torch.Tensor or ndarray of shape (n_examples, ...)
        The probe set; the first axis is the examples. A mapping gives keyword arguments.
    layers : sequence of str
        Dotted module paths, as ``model.named_modules()`` gives them (``"encoder.layers.0"``), or
        patterns: ``*`` for anything without a dot, ``**`` for anything, ``!`` in front to leave
        out. A module that is called more than once has a representation a call:
        ``"relu@0"``, ``"relu@1"``, or ``"relu@*"`` for all.
    pool : str or mapping of pattern to str, default "flatten"
        ``"none"`` keeps all axes, ``"flatten"`` flattens those after the first (both with zeros
        where the probe's mask says padding), ``"mean_tokens"``, ``"last_token"`` and ``"cls"`` take
        the mean, last and first real token, ``"spatial_mean"`` the mean of each channel.
    side : {"output", "input"}, default "output"
        What the modules give out, or what they are given.
    batch_size : int, default 256
        Examples in one forward pass; the last batch may be smaller.
    allocate : callable, optional
        Makes the float32 array of a given shape that a layer is written to; `numpy.empty` if None.

    Returns
    -------
    dict of str to ndarray of float32, shape (n_examples, n_features)
        One entry a layer, in the order of ``layers``; more axes with ``pool="none"``. Of a tuple,
        list or mapping (a ``ModelOutput``), the first tensor is taken.

    Raises
    ------
    InputError
        If a layer is not in the model, is called never, or more than once without a number, or
        gives something other than one row an example with a constant number of features, or than
        its pooling is for.
    MissingExtraError
        If PyTorch is not installed.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Identity(), torch.nn.ReLU(inplace=True))
    >>> capture_activations(model, torch.tensor([[-1.0, 2.0]]), ["0", "1"])
    {'0': array([[-1.,  2.]], dtype=float32), '1': array([[0., 2.]], dtype=float32)}
    """
    require_torch()
    probe = inputs if isinstance(inputs, Probe) else Probe(inputs)
    model = unwrapped(model)
    check_choices(pool, side)
    listeners = [
        _listener(selected, probe, pool_of(selected.name, pool), side, allocate or _empty)
        for selected in select_modules(model, layers)
    ]
    run_on_probe(model, probe, listeners, batch_size=batch_size)
    captured: dict[str, NDArray[np.float32]] = {}
    for listener in listeners:
        for name, sink in listener.named_sinks().items():
            captured[name] = sink.whole()
    return captured


def check_choices(pool: Pools, side: Side) -> None:
    """Refuse a pooling or side that there is not.

    Raises
    ------
    InputError
        Naming the argument and its choices.
    """
    named = pool if isinstance(pool, Mapping) else {"": pool}
    for pattern, name in named.items():
        if name not in POOLS:
            where = f"pool[{pattern!r}]" if isinstance(pool, Mapping) else "pool"
            raise InputError(f"{where}: expected one of {', '.join(POOLS)}, got {name!r}")
    if side not in SIDES:
        raise InputError(f"side: expected one of {', '.join(SIDES)}, got {side!r}")


def pool_of(layer: str, pool: Pools) -> Pool:
    """Return the pooling of a layer.

    Raises
    ------
    InputError
        If ``pool`` is a mapping in which nothing fits.
    """
    if not isinstance(pool, Mapping):
        return pool
    bare = layer.partition("@")[0]
    for pattern, name in pool.items():
        if glob_matches(pattern, bare):
            return name
    raise InputError(
        f"pool: nothing in {', '.join(pool) or 'it'} fits layer {layer!r}; expected a pooling for "
        "each layer ('**' fits all)"
    )


def _empty(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.empty(shape, np.float32)


def _listener(
    selected: SelectedModule, probe: Probe, pool: Pool, side: Side, allocate: Allocate
) -> Listener[_PooledRows]:
    return Listener(
        selected,
        lambda call: _PooledRows(
            selected.label if call == 0 else f"{selected.name}@{call}", probe, pool, allocate
        ),
        side,
    )


class _PooledRows:
    """The rows of one layer, pooled, in an array for all examples."""

    def __init__(self, layer: str, probe: Probe, pool: Pool, allocate: Allocate) -> None:
        self.layer = layer
        self._probe = probe
        self._pool = pool
        self._allocate = allocate
        self._values = np.empty((0, 0), np.float32)
        self._ambiguous = True

    def take(self, values: torch.Tensor, rows: slice) -> None:
        """Pool and copy the rows of one batch."""
        import torch

        n_rows = rows.stop - rows.start
        if values.ndim == 0 or len(values) != n_rows or values.numel() == 0:
            hint = ""
            if values.ndim >= 2 and values.shape[1] == n_rows:
                hint = " (batch_first=True gives a recurrent or attention module that order)"
            raise InputError(
                f"layer {self.layer!r} gave a tensor of shape {tuple(values.shape)} for a batch of "
                f"{n_rows} examples; its first axis must be the examples, with features after it"
                f"{hint}"
            )
        # As many tokens as examples: tokens first would look the same. Another batch may tell.
        self._ambiguous &= n_rows > 1 and values.ndim == 3 and values.shape[1] == n_rows
        real = self._probe.real_tokens(rows, values.device)
        values = pooled(values, self._pool, real, layer=self.layer)
        if rows.start == 0:
            self._values = self._allocate((len(self._probe), *values.shape[1:]))
        elif values.shape[1:] != self._values.shape[1:]:
            raise InputError(
                f"layer {self.layer!r} gave {_features(values.shape)} features for example "
                f"{rows.start} and {_features(self._values.shape)} for example 0; the number must "
                "be constant (pad the inputs, pool over tokens, or capture a layer behind the "
                "network's own pooling)"
            )
        torch.from_numpy(self._values[rows]).copy_(values)

    def whole(self) -> NDArray[np.float32]:
        """Return all rows."""
        if self._ambiguous:
            raise InputError(
                f"layer {self.layer!r} gave as many tokens as a batch has examples, so that tokens "
                "first and examples first look the same; expected another batch_size"
            )
        return self._values


def _features(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape[1:]))
