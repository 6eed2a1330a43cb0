"""Running a network on the probe set while hooks listen; afterwards it is as it came."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from fastcka.capture.failures import forward_error
from fastcka.capture.members import chosen_tensor
from fastcka.capture.rng import restore_rng_state, rng_state
from fastcka.errors import FastckaError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import torch

    from fastcka.capture.batches import Rows
    from fastcka.capture.members import Side
    from fastcka.capture.probe import Probe
    from fastcka.capture.selection import SelectedModule


class Sink(Protocol):
    """Where the values of one layer go, batch by batch."""

    def take(self, values: torch.Tensor, rows: Rows) -> None:
        """Keep what it needs of the values of these examples; they may be changed afterwards."""


S = TypeVar("S", bound=Sink)


class ProbeListener(Protocol):
    """What `run_on_probe` lets listen."""

    def attach(self, stack: contextlib.ExitStack) -> None:
        """Put hooks on the network, to be taken off when the stack is left."""

    def begin(self, rows: Rows) -> None:
        """Be told which examples the next forward pass is for."""

    def end(self) -> None:
        """Refuse what was wrong in the forward pass that is over."""


class Listener(Generic[S]):
    """The hook of one module: hands each of its calls to the sink of that call.

    Parameters
    ----------
    selected
        The module, and which of its calls in a forward pass are meant.
    make_sink
        Called with the number of a call, when that is first seen.
    side
        Whether what the module is given or what it gives out is meant.
    """

    def __init__(
        self, selected: SelectedModule, make_sink: Callable[[int], S], side: Side = "output"
    ) -> None:
        self.selected = selected
        self.side = side
        self.sinks: dict[int, S] = {}
        self._make_sink = make_sink
        self._rows: Rows = slice(0, 0)
        self._calls = 0
        self._batches = 0

    def attach(self, stack: contextlib.ExitStack) -> None:
        """Put the hook on the module, to be taken off when the stack is left."""
        module = self.selected.module
        if is_scripted(module):
            raise InputError(
                f"layer {self.selected.name!r} is TorchScript, which takes no hooks; build the "
                "network in Python and load its state_dict, or capture a layer around this one"
            )
        if self.side == "input":
            handle = module.register_forward_pre_hook(self._before, with_kwargs=True)
        else:
            handle = module.register_forward_hook(self._after)
        stack.callback(handle.remove)

    def begin(self, rows: Rows) -> None:
        """Be told which examples come next."""
        self._rows = rows
        self._calls = 0
        self._batches += 1

    def end(self) -> None:
        """Check the number of calls in the forward pass that is over.

        Raises
        ------
        InputError
            Here rather than in the hook, where a try/except of the model's could swallow it.
        """
        selected, calls = self.selected, self._calls
        if selected.call is None and calls > 1:
            raise InputError(
                f"layer {selected.name!r} was called {calls} times in one forward pass, so it has "
                f"no single representation; '{selected.name}@0' to '{selected.name}@{calls - 1}' "
                f"name one call each, '{selected.name}@*' names them all"
            )
        if calls == 0 or (isinstance(selected.call, int) and selected.call >= calls):
            times = "never called" if calls == 0 else f"called {calls} times"
            raise InputError(
                f"layer {selected.label!r} was {times} in one forward pass; leave it out "
                f"('!{selected.name}' behind a pattern)"
            )
        if selected.call == "*" and calls != len(self.sinks):
            raise InputError(
                f"layer {selected.name!r} was called {len(self.sinks)} times for some examples and "
                f"{calls} times for others; expected the same number for all"
            )

    def named_sinks(self) -> dict[str, S]:
        """Return the sinks by the layer's name, which has the call's number where there is need."""
        if len(self.sinks) == 1:
            return {self.selected.label: next(iter(self.sinks.values()))}
        return {self.selected.label_of(call): sink for call, sink in self.sinks.items()}

    def hear(self, values: torch.Tensor) -> None:
        """Count a call, and hand its values to its sink if the call is meant."""
        call, self._calls = self._calls, self._calls + 1
        if not self._means(call):
            return
        if self._batches == 1 and call not in self.sinks:
            self.sinks[call] = self._make_sink(call)
        if call in self.sinks:  # else end() says that the number of calls has changed
            self.sinks[call].take(values.detach(), self._rows)

    def _means(self, call: int) -> bool:
        return self.selected.call in ("*", call) or (self.selected.call is None and not call)

    def _before(self, _module: torch.nn.Module, args: tuple[Any, ...], kwargs: Any) -> None:
        self._hear_member(dict(enumerate(args)) | kwargs)

    def _after(self, _module: torch.nn.Module, _args: Any, output: Any) -> None:
        self._hear_member(output)

    def _hear_member(self, value: Any) -> None:
        selected = self.selected
        if not self._means(self._calls):
            self._calls += 1
            return
        layer = selected.name if selected.call is None else f"{selected.name}@{self._calls}"
        self.hear(
            chosen_tensor(
                value, module=selected.module, layer=layer, side=self.side, member=selected.member
            )
        )


def is_scripted(module: torch.nn.Module) -> bool:
    """Whether a module is TorchScript, so that it takes no hooks."""
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
    """Run a network on each example once, in order, in batches.

    It runs in eval and inference mode, without compiled code (which skips hooks) and off the fused
    paths of ``nn.TransformerEncoder`` and ``nn.MultiheadAttention`` (which skip hooks and pass
    ragged tensors on). Afterwards, and after
    an exception too, no hook is left, each submodule has the ``training`` flag that it came with,
    and the random number generators of Python, NumPy and PyTorch are where they were.

    Parameters
    ----------
    model
        Compiled and parallel wrappers are taken off, as hooks do not fire inside them.
    probe
        The examples. They are moved to the device of the first parameter.
    listeners
        What listens.
    batch_size
        Examples in one forward pass; the last batch may be smaller.
    examples
        Run these examples, in this order, in place of all; one may be there more than once.

    Raises
    ------
    InputError
        If ``batch_size`` is not an integer of at least 1, a listener has something to refuse, or
        the probe's dtype is not that of the network's weights.
    OutOfMemoryError
        If a forward pass needs more memory than there is.
    NetworkError
        If the network raises anything else.
    """
    import torch

    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise InputError(f"batch_size must be an integer of at least 1, not {batch_size!r}")
    parameter = next(model.parameters(), None)
    device = None if parameter is None else parameter.device
    with contextlib.ExitStack() as stack:
        stack.enter_context(_as_it_came(model))
        for listener in listeners:
            listener.attach(stack)
        stack.enter_context(torch.inference_mode())
        n_examples = len(probe) if examples is None else len(examples)
        for start in range(0, n_examples, batch_size):
            stop = min(start + batch_size, n_examples)
            rows = slice(start, stop) if examples is None else list(examples[start:stop])
            for listener in listeners:
                listener.begin(rows)
            _run(model, probe, rows, device, stop - start)
            for listener in listeners:
                listener.end()


def _run(
    model: torch.nn.Module, probe: Probe, rows: Rows, device: torch.device | None, n_rows: int
) -> None:
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
        failed = forward_error(error, model, inputs, n_rows)
    if failed is not None:  # here, where no context holds the tensors of the forward pass
        raise failed


@contextlib.contextmanager
def _as_it_came(model: torch.nn.Module) -> Iterator[None]:
    import torch

    # Flags are put back one by one: train() sets a whole subtree, and may be overridden.
    # A frozen TorchScript module has no flag.
    flags = [(own, own.training) for own in model.modules() if hasattr(own, "training")]
    fast_path = torch.backends.mha.get_fastpath_enabled()
    random = rng_state()
    # Nothing is compiled where torch._dynamo, which takes long to import, was never imported.
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
