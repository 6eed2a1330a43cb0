"""Finding the storages that the pickle of a .pt file declares, without running the pickle.

PyTorch allocates the declared sizes and reads values from the start of a record. If the record is
too short, PyTorch reads on into the bytes after it. fastcka therefore compares the declared
storages and their tensors with the file before PyTorch opens it.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Final

from fastcka.errors import CorruptFileError, UnsafeFileError

if TYPE_CHECKING:
    from pathlib import Path

_ITEM_BYTES: Final = {
    **dict.fromkeys(("Double", "Long", "ComplexFloat"), 8),
    **dict.fromkeys(("Float", "Int", "QInt32"), 4),
    **dict.fromkeys(("Half", "BFloat16", "Short"), 2),
    **dict.fromkeys(("Byte", "Char", "Bool", "QInt8", "QUInt8", "QUInt4x2", "QUInt2x4"), 1),
    "ComplexDouble": 16,
    "Untyped": 1,
}
_TENSORS: Final = {f"torch._utils._rebuild_{name}" for name in ("tensor", "tensor_v2", "tensor_v3")}
_QUANTIZED: Final = "torch._utils._rebuild_qtensor"
_INTEGERS: Final = ("INT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4")
_BYTES: Final = {"builtins.bytearray", "__builtin__.bytearray"}


class _Global(str):
    """The dotted name of a class or function."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Storage:
    """The values of one or more tensors: the key of their record, their number and their bytes."""

    key: str
    items: int
    n_bytes: int


@dataclass(slots=True)
class _Machine:
    """The stack and memo of a pickle. Values that are irrelevant for storages are None."""

    path: Path
    file_bytes: int
    storages: dict[Storage, None] = field(default_factory=dict)
    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def run(self, file: IO[bytes]) -> None:
        """Follow one pickle to its end."""
        argument: Any
        for opcode, argument, _ in pickletools.genops(file):
            name = opcode.name
            if name in ("PUT", "BINPUT", "LONG_BINPUT"):
                self.memo[int(argument)] = self.stack[-1]
            elif name == "MEMOIZE":
                self.memo[len(self.memo)] = self.stack[-1]
            elif name in ("GET", "BINGET", "LONG_BINGET"):
                self.stack.append(self.memo[int(argument)])
            elif name == "DUP":
                self.stack.append(self.stack[-1])
            else:
                taken, items = self._take(opcode)
                self._put(opcode, argument, taken, items)

    def _take(self, opcode: pickletools.OpcodeInfo) -> tuple[list[Any], list[Any]]:
        """Pop the operands of an opcode: those that it names, and those above the mark."""
        before, items = opcode.stack_before, []
        count = len(before)
        if pickletools.markobject in before:
            while (top := self.stack.pop()) is not pickletools.markobject:
                items.append(top)
            items.reverse()
            count = before.index(pickletools.markobject)
        taken = [self.stack.pop() for _ in range(count)]
        return taken[::-1], items

    def _put(
        self, opcode: pickletools.OpcodeInfo, argument: Any, taken: list[Any], items: list[Any]
    ) -> None:
        name, after = opcode.name, opcode.stack_after
        value: Any = None
        if name == "MARK":
            value = pickletools.markobject
        elif "UNICODE" in name or name.endswith(_INTEGERS):
            value = argument
        elif name == "GLOBAL":
            value = _Global(argument.replace(" ", "."))
        elif name == "STACK_GLOBAL":
            value = _Global(f"{taken[0]}.{taken[1]}")
        elif "TUPLE" in name:
            value = tuple(taken or items)
        elif name == "BINPERSID":
            value = self._storage(taken[0])
        elif name in ("REDUCE", "NEWOBJ", "NEWOBJ_EX"):
            self._check_call(taken[0], taken[1])
        if after:
            self.stack.append(value)

    def _storage(self, named: Any) -> Storage:
        kind, key, items = named[1], named[2], named[4]
        size = _ITEM_BYTES.get(str(kind).rpartition(".")[2].removesuffix("Storage"))
        if size is None or type(items) is not int or items < 0:
            raise CorruptFileError(
                f"{self.path}: damaged: its pickle declares a storage of {items!r:.40} {kind!r:.80}"
            )
        storage = Storage(str(key), items, items * size)
        self.storages[storage] = None
        return storage

    def _check_call(self, called: Any, arguments: Any) -> None:
        """Refuse calls that allocate a size given by their arguments."""
        if not isinstance(called, _Global) or not isinstance(arguments, tuple):
            return
        if called in _TENSORS:
            storage, offset, shape, strides = arguments[:4]
            last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
            if min(shape, default=1) > 0 and not 0 <= last < storage.items:
                raise CorruptFileError(
                    f"{self.path}: damaged: a tensor of shape {shape} reaches beyond the "
                    f"{storage.items} values of its storage"
                )
            return
        any_size = called.startswith("torch.") and called.endswith(("Storage", "Tensor"))
        any_size |= called in _BYTES and any(isinstance(value, int) for value in arguments)
        if called == _QUANTIZED:
            count = 1
            for length in arguments[2]:
                count *= length
            any_size = count > 8 * self.file_bytes
        if any_size:
            raise UnsafeFileError(
                f"{self.path}: its pickle calls {called}, which could take any amount of memory; "
                "save tensors in dicts and lists with torch.save"
            )


def declared_storages(path: Path, file: IO[bytes], file_bytes: int, pickles: int) -> list[Storage]:
    """Return the storages that one or more pickles declare; ``file`` is at the first pickle.

    Raises
    ------
    CorruptFileError
        If a pickle is damaged, or a tensor reaches beyond its storage.
    UnsafeFileError
        If loading it could take any amount of memory.
    """
    storages: dict[Storage, None] = {}
    try:
        for _ in range(pickles):
            machine = _Machine(path, file_bytes, storages)
            machine.run(file)
            if file.tell() >= file_bytes:
                break
    except (CorruptFileError, UnsafeFileError, OSError):
        raise
    except Exception as error:  # damaged operands and stacks raise errors of many kinds
        raise CorruptFileError(f"{path}: damaged, not a PyTorch file: {error}") from error
    return list(storages)
