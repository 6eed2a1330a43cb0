"""Running a network on the probe set with hooks, and restoring it afterwards."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from fastcka.capture.batches import examples_of
from fastcka.capture.failures import forward_error
from fastcka.capture.members import chosen_tensor
from fastcka.capture.rng import restore_rng_state, rng_state
from fastcka.errors import FastckaError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import torch

    from fastcka.capture.batches import Rows
    from fastcka.capture.members import ModuleSide
    from fastcka.capture.modules import SelectedModule
    from fastcka.capture.probe import Probe


class Sink(Protocol):
    """Receives the values of one layer, batch by batch."""

    def take(self, values: torch.Tensor, rows: Rows) -> None:
        """Process or copy the values of these examples. The network may change them afterwards."""


S = TypeVar("S", bound=Sink)


class ProbeListener(Protocol):
    """An object with hooks that `run_on_probe` calls around each forward pass."""

    def attach(self, stack: contextlib.ExitStack) -> None:
        """Register hooks on the network. The stack removes them when it exits."""

    def begin(self, rows: Rows) -> None:
        """Prepare for a forward pass on these examples."""

    def end(self) -> None:
        """Check the forward pass that has finished, and raise InputError if it failed the check."""


class Listener(Generic[S]):
    """The hook of one module, which passes the values of each call to the sink of that call.

    Parameters
    ----------
    selected
        The module and its selected calls in a forward pass.
    make_sink
        Called with the number of a call when that call first happens.
    side
        Whether the sinks receive inputs or outputs of the module.
    """

    def __init__(
        self, selected: SelectedModule, make_sink: Callable[[int], S], side: ModuleSide = "output"
    ) -> None:
        self.selected = selected
        self.side = side
        self.sinks: dict[int, S] = {}
        self._make_sink = make_sink
        self._rows: Rows = slice(0, 0)
        self._calls = 0
        self._batches = 0

    def attach(self, stack: contextlib.ExitStack) -> None:
        """Register the hook on the module. The stack removes it when it exits."""
        module = self.selected.module
        if is_scripted(module):
            raise InputError(
                f"layer {self.selected.name!r} is TorchScript, which has no hooks; build the "
                "network in Python and load its state_dict, or capture a layer around this one"
            )
        if self.side == "input":
            handle = module.register_forward_pre_hook(self._before, with_kwargs=True)
        else:
            handle = module.register_forward_hook(self._after)
        stack.callback(handle.remove)

    def begin(self, rows: Rows) -> None:
        """Prepare for a forward pass on these examples."""
        self._rows = rows
        self._calls = 0
        self._batches += 1

    def end(self) -> None:
        """Check the number of calls in the forward pass that has finished.

        Raises
        ------
        InputError
            If the number is wrong. The hook does not raise, because a try/except in the model could
            swallow the error.
        """
        selected, calls = self.selected, self._calls
        if selected.call is None and calls > 1:
            raise InputError(
                f"layer {selected.name!r}: expected one call in a forward pass, got {calls}; "
                f"'{selected.name}@0' to '{selected.name}@{calls - 1}' select one call, "
                f"'{selected.name}@*' selects all"
            )
        if calls == 0 or (isinstance(selected.call, int) and selected.call >= calls):
            times = "never called" if calls == 0 else f"called {calls} times"
            raise InputError(
                f"layer {selected.label!r} was {times} in one forward pass; remove it from layers "
                f"(after a pattern, add '!{selected.name}')"
            )
        if selected.call == "*" and calls != len(self.sinks):
            raise InputError(
                f"layer {selected.name!r} was called {len(self.sinks)} times for some examples and "
                f"{calls} times for others; expected the same number for all"
            )

    def named_sinks(self) -> dict[str, S]:
        """Return layer -> sink. With several calls, the layer's name contains the call's number."""
        if len(self.sinks) == 1:
            return {self.selected.label: next(iter(self.sinks.values()))}
        return {self.selected.label_of(call): sink for call, sink in self.sinks.items()}

    def hear(self, values: torch.Tensor) -> None:
        """Count a call, and pass its values to its sink if the call is selected."""
        call, self._calls = self._calls, self._calls + 1
        if not self._selects(call):
            return
        if self._batches == 1 and call not in self.sinks:
            self.sinks[call] = self._make_sink(call)
        if call in self.sinks:  # else end() reports that the number of calls has changed
            self.sinks[call].take(values.detach(), self._rows)

    def _selects(self, call: int) -> bool:
        return self.selected.call in ("*", call) or (self.selected.call is None and not call)

    def _before(self, _module: torch.nn.Module, args: tuple[Any, ...], kwargs: Any) -> None:
        self._hear_member(dict(enumerate(args)) | kwargs)

    def _after(self, _module: torch.nn.Module, _args: Any, output: Any) -> None:
        self._hear_member(output)

    def _hear_member(self, value: Any) -> None:
        selected = self.selected
        if not self._selects(self._calls):
            self._calls += 1
            return
        layer = selected.name if selected.call is None else f"{selected.name}@{self._calls}"
        self.hear(
            chosen_tensor(
                value, module=selected.module, layer=layer, side=self.side, member=selected.member
            )
        )


def is_scripted(module: torch.nn.Module) -> bool:
    """Whether a module is TorchScript, which has no hooks."""
    import torch

    return isinstance(module, torch.jit.ScriptModule)


def run_on_probe(
    model: torch.nn.Module,
    probe: Probe,
    listeners: Sequence[ProbeListener],
    *,
    batch_size: int,
    examples: Sequence[int] | None = None,
) -> None:
    """Run a network once on each example, in order, in batches.

    The network runs in eval and inference mode. Compiled code is turned off, because it skips
    hooks. The fused paths of ``nn.TransformerEncoder`` and ``nn.MultiheadAttention`` are turned
    off, because they skip hooks and pass on ragged tensors. Afterwards, also after an exception,
    all hooks are removed, and the ``training`` flags and the random number generators of Python,
    NumPy and PyTorch have their former states.

    Parameters
    ----------
    model
        The network without compiled and parallel wrappers: hooks do not fire inside them.
    probe
        The examples. They are moved to the device of the network's first parameter.
    listeners
        The objects with hooks.
    batch_size
        Examples in one forward pass; the last batch may be smaller.
    examples
        Positions of the examples to run, in this order; repeats are allowed. Default all.

    Raises
    ------
    InputError
        If ``batch_size`` is not an integer of at least 1, a listener's check fails, or the dtypes
        of the probe and the network's weights differ.
    OutOfMemoryError
        If there is not enough memory for a forward pass.
    NetworkError
        If the network raises any other exception.
    """
    n_examples = len(probe) if examples is None else len(examples)
    with attached(model, probe, listeners) as run:
        for rows in batches_of(n_examples, batch_size):
            run(rows if examples is None else list(examples[rows]))


def batches_of(n_examples: int, batch_size: int) -> Iterator[slice]:
    """Yield the ranges of examples of each forward pass, in order.

    Raises
    ------
    InputError
        If ``batch_size`` is not an integer of at least 1.
    """
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise InputError(f"batch_size: expected an integer of at least 1, got {batch_size!r}")
    for start in range(0, n_examples, batch_size):
        yield slice(start, min(start + batch_size, n_examples))


@contextlib.contextmanager
def attached(
    model: torch.nn.Module, probe: Probe, listeners: Sequence[ProbeListener]
) -> Iterator[Callable[[Rows], None]]:
    """Yield a function that runs the network on some examples; see `run_on_probe`.

    The state of the network is that of `run_on_probe` until the block ends.
    """
    import torch

    parameter = next(model.parameters(), None)
    device = None if parameter is None else parameter.device

    def run(rows: Rows) -> None:
        for listener in listeners:
            listener.begin(rows)
        _run(model, probe, rows, device)
        for listener in listeners:
            listener.end()

    with contextlib.ExitStack() as stack:
        stack.enter_context(_restored(model))
        for listener in listeners:
            listener.attach(stack)
        stack.enter_context(torch.inference_mode())
        yield run


def _run(model: torch.nn.Module, probe: Probe, rows: Rows, device: torch.device | None) -> None:
    args: list[torch.Tensor] = []
    kwargs: dict[str, torch.Tensor] = {}
    failed = None
    try:
        args, kwargs = probe.batch(rows, device)
        model(*args, **kwargs)
    except FastckaError:
        raise
    except Exception as error:  # a network may raise anything
        inputs = kwargs or dict(zip(["inputs"], args, strict=False))
        failed = forward_error(error, model, inputs, len(examples_of(rows)))
    if failed is not None:  # outside of except, so that no context keeps the batch's tensors
        raise failed


@contextlib.contextmanager
def _restored(model: torch.nn.Module) -> Iterator[None]:
    import torch

    # Flags are restored one by one, because train() sets a whole subtree and may be overridden.
    # A frozen TorchScript module has no flag.
    flags = [(module, module.training) for module in model.modules() if hasattr(module, "training")]
    fast_path = torch.backends.mha.get_fastpath_enabled()
    random = rng_state()
    # No code is compiled before torch._dynamo, which is slow to import, has been imported.
    eager: Any = contextlib.nullcontext()
    if "torch._dynamo" in sys.modules:
        eager = torch.compiler.set_stance("force_eager")
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        model.eval()
        with eager:
            yield
    finally:
        for module, training in flags:
            module.training = training
        torch.backends.mha.set_fastpath_enabled(fast_path)
        restore_rng_state(random)
