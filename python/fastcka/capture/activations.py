"""The activations of named modules of a network, for a fixed set of inputs, in their order."""

from __future__ import annotations

import contextlib
import difflib
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcka.capture.checkpoints import require_torch
from fastcka.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch
    from numpy.typing import NDArray

_NAMES_SHOWN = 40


def capture_activations(
    model: torch.nn.Module,
    inputs: torch.Tensor | NDArray[Any],
    layers: Sequence[str],
    *,
    batch_size: int = 256,
) -> dict[str, NDArray[np.float32]]:
    """Run ``model`` on ``inputs`` and return what the named modules gave out.

    The model runs in eval mode and inference mode, one batch after the other in the order of the
    inputs. Afterwards, and after an exception too, no hook is left on it and each submodule has
    the ``training`` flag that it came with. Each output is copied the moment the module returns
    it, so an in-place operation further down (``nn.ReLU(inplace=True)``) does not reach it.

    Parameters
    ----------
    model : torch.nn.Module
        Called as ``model(batch)``. Batches are moved to the device of its first parameter.
    inputs : torch.Tensor or ndarray, shape (n_examples, ...)
        The probe set; the first axis is the examples.
    layers : sequence of str
        Dotted module paths, as ``model.named_modules()`` gives them: ``"encoder.layers.0"``.
    batch_size : int, default 256
        Examples in one forward pass; the last batch may be smaller.

    Returns
    -------
    dict of str to ndarray of float32, shape (n_examples, n_features)
        One entry a layer, in the order of ``layers``. Axes after the first are flattened. If a
        module returns a tuple or list, its first tensor is taken.

    Raises
    ------
    InputError
        If a layer is not in the model, is called more than once or never in a forward pass, or
        gives something other than one row an example with a constant number of features.
    MissingExtraError
        If PyTorch is not installed.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Identity(), torch.nn.ReLU(inplace=True))
    >>> capture_activations(model, torch.tensor([[-1.0, 2.0]]), ["0", "1"])
    {'0': array([[-1.,  2.]], dtype=float32), '1': array([[0., 2.]], dtype=float32)}
    """
    torch = require_torch()
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise InputError(f"batch_size must be an integer of at least 1, not {batch_size!r}")
    if not isinstance(inputs, torch.Tensor | np.ndarray):
        raise InputError(
            f"inputs must be a torch tensor or a numpy array, not {type(inputs).__name__}"
        )
    if inputs.ndim == 0 or len(inputs) == 0:
        raise InputError(
            f"inputs must hold at least one example along its first axis; its shape is "
            f"{tuple(inputs.shape)}"
        )

    parameter = next(model.parameters(), None)
    n_examples = len(inputs)
    recordings = {
        name: _Recording(name, module, n_examples)
        for name, module in _named_layers(model, layers).items()
    }
    with _hooked(recordings), _eval_mode(model), torch.inference_mode():
        for start in range(0, n_examples, batch_size):
            rows = slice(start, min(start + batch_size, n_examples))
            # A copy: the network may begin in place, and from_numpy takes neither negative
            # strides nor, without a warning, an array that is read-only.
            if isinstance(inputs, torch.Tensor):
                batch = inputs[rows].detach().clone()
            else:
                batch = torch.from_numpy(inputs[rows].copy())
            for recording in recordings.values():
                recording.begin(rows)
            model(batch if parameter is None else batch.to(parameter.device))
            for recording in recordings.values():
                recording.end()
    return {name: recording.values for name, recording in recordings.items()}


class _Recording:
    """The forward hook of one module, and the rows that it has written so far."""

    def __init__(self, name: str, module: torch.nn.Module, n_examples: int) -> None:
        self.name = name
        self.module = module
        self.n_examples = n_examples
        self.values: NDArray[np.float32] = np.empty((0, 0), np.float32)
        self._rows = slice(0, 0)
        self._calls = 0

    def begin(self, rows: slice) -> None:
        self._rows = rows
        self._calls = 0

    def __call__(self, _module: torch.nn.Module, _inputs: Any, output: Any) -> None:
        import torch

        if self._calls:
            self._calls += 1
            return  # reported by end(), where no try/except of the model's can swallow it
        tensor = self._tensor(output).detach()
        n_rows = self._rows.stop - self._rows.start
        if tensor.ndim == 0 or len(tensor) != n_rows or tensor.numel() == 0:
            raise InputError(
                f"layer {self.name!r} gave a tensor of shape {tuple(tensor.shape)} for a batch of "
                f"{n_rows} examples; its first axis must be the examples, with features after it"
            )
        tensor = tensor.reshape(n_rows, -1)
        if self._rows.start == 0:
            self.values = np.empty((self.n_examples, tensor.shape[1]), np.float32)
        elif tensor.shape[1] != self.values.shape[1]:
            raise InputError(
                f"layer {self.name!r} gave {tensor.shape[1]} features for example "
                f"{self._rows.start} and {self.values.shape[1]} for example 0; the number must "
                "be constant (pad the inputs, or capture a layer behind the pooling)"
            )
        torch.from_numpy(self.values[self._rows]).copy_(tensor)
        self._calls = 1

    def end(self) -> None:
        if self._calls != 1:
            times = "never" if self._calls == 0 else f"{self._calls} times"
            raise InputError(
                f"layer {self.name!r} was called {times} in one forward pass, so it has no single "
                "representation; capture the modules around it, or give each use a module of "
                "its own"
            )

    def _tensor(self, output: Any) -> torch.Tensor:
        import torch

        candidates = output if isinstance(output, tuple | list) else (output,)
        tensor = next((item for item in candidates if isinstance(item, torch.Tensor)), None)
        if tensor is None or tensor.is_complex():
            came = type(output).__name__ if tensor is None else str(tensor.dtype)
            raise InputError(
                f"layer {self.name!r} returned {came}; a real tensor, or a tuple or list "
                "that holds one, was expected"
            )
        return tensor


def _named_layers(model: torch.nn.Module, layers: Sequence[str]) -> dict[str, torch.nn.Module]:
    if isinstance(layers, str) or not layers:
        raise InputError(f"layers must be a non-empty sequence of module paths, not {layers!r}")
    # A module that stands in two places has two names, and both are good.
    modules = {name: m for name, m in model.named_modules(remove_duplicate=False) if name}
    found: dict[str, torch.nn.Module] = {}
    for name in layers:
        if name not in modules:
            raise InputError(_unknown_layer(model, name, list(modules)))
        if name in found:
            raise InputError(f"layers names {name!r} twice")
        found[name] = modules[name]
    return found


def _unknown_layer(model: torch.nn.Module, name: object, known: list[str]) -> str:
    near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    listed = ", ".join(known[:_NAMES_SHOWN]) or "none"
    if len(known) > _NAMES_SHOWN:
        listed += f" and {len(known) - _NAMES_SHOWN} more (see model.named_modules())"
    return f"{type(model).__name__} has no module {name!r}.{hint} Its modules: {listed}"


@contextlib.contextmanager
def _hooked(recordings: dict[str, _Recording]) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for recording in recordings.values():
            handle = recording.module.register_forward_hook(recording)
            stack.callback(handle.remove)
        yield


@contextlib.contextmanager
def _eval_mode(model: torch.nn.Module) -> Iterator[None]:
    # Flags are put back one by one: train() sets a whole subtree, and may be overridden.
    flags = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        yield
    finally:
        for module, training in flags:
            module.training = training
