"""Tensors in .pt files, read without running code from their pickles."""

from __future__ import annotations

import io
import os
import re
import zipfile
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from fastcka.arrays import refuse_special_tensor
from fastcka.errors import CorruptFileError, InputError, MissingExtraError, UnsafeFileError
from fastcka.memory import require_memory
from fastcka.out_of_memory import raise_if_shortage
from fastcka.store.file.stamp import FileStamp
from fastcka.store.foreign.naming import choose
from fastcka.store.foreign.numpy_files import SMALLER, check_zip, named_errors, numeric
from fastcka.store.foreign.pickles import declared_storages

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_MAX_DEPTH: Final = 16
_REFUSED: Final = re.compile(r"Unsupported global: GLOBAL (?P<name>[\w.]+)")
_MAX_REPEATED: Final = 100_000
_PICKLES_BEFORE_1_6: Final = 5


def load_pt(path: Path) -> Any:
    """Return the contents of a .pt file: CPU tensors in dicts and lists, mapped into memory.

    Each record is first read and compared with its checksum and with the size of its tensors; a
    process repeats this only after the file changes. Files that were written without checksums are
    compared with the size of their tensors only. The values of a tensor are then read when they
    are used, so the file must not change. Files older than PyTorch 1.6 have no checksums and are
    read whole.

    Raises
    ------
    CorruptFileError, UnsafeFileError
        If the file is damaged, or contains more than tensors and plain values.
    MissingExtraError
        If PyTorch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError.of(f"reading {path}", "PyTorch", "torch") from error
    with named_errors(str(path), "a zip file"):
        zipped = zipfile.is_zipfile(path)
    if zipped:
        _check_records(path, FileStamp.of(path.stat()))
    else:
        _check_old_file(path)
    try:
        return torch.load(os.fspath(path), map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # damaged files raise errors of many kinds
        raise_if_shortage(error, f"reading {path}")
        if isinstance(error, OSError):
            raise
        message = str(error).strip().partition("\n")[0]
        if "weights" in message.lower() or "unsupported" in message.lower():
            raise UnsafeFileError(
                f"{path}: contains more than tensors in dicts and lists; loading it could run "
                f"code: {_unsafe_part(str(error)) or message}"
            ) from error
        raise CorruptFileError(f"{path}: damaged, cannot be read: {message}") from error


@lru_cache(maxsize=256)
def _check_records(path: Path, stamp: FileStamp) -> None:
    """Compare the records of a zip file with their checksums and with the pickle's tensors."""
    members = {info.filename: info for info in check_zip(path)}
    pickle = f"{next(iter(members), '').partition('/')[0]}/data.pkl"
    if pickle not in members:
        raise CorruptFileError(f"{path}: not a PyTorch file: its archive has no record {pickle}")
    packed = [name for name, info in members.items() if info.compress_type != zipfile.ZIP_STORED]
    if packed:
        raise CorruptFileError(
            f"{path}: record {packed[0]} is compressed; save the file again with torch.save"
        )
    with named_errors(str(path), "a zip file"), zipfile.ZipFile(path) as archive:
        if any(info.CRC for info in members.values()):  # all 0 if written without checksums
            damaged = archive.testzip()
            if damaged is not None:
                raise CorruptFileError(f"{path}: the checksum of record {damaged} does not match")
        else:
            members[pickle].CRC = None  # type: ignore[assignment]  # turns off zipfile's check
        with archive.open(members[pickle]) as file:
            content = file.read()
    for storage in declared_storages(path, io.BytesIO(content), stamp.size, 1):
        name = f"{pickle.removesuffix('.pkl')}/{storage.key}"
        record = members.get(name)
        if record is None:
            raise CorruptFileError(f"{path}: record {name} is missing")
        if record.file_size != storage.n_bytes:
            raise CorruptFileError(
                f"{path}: record {name}: expected {storage.n_bytes} bytes, as its tensors declare, "
                f"got {record.file_size}"
            )


def _check_old_file(path: Path) -> None:
    """Refuse a file older than PyTorch 1.6 whose tensors declare more bytes than it has."""
    size = path.stat().st_size
    with path.open("rb") as file:
        storages = declared_storages(path, file, size, _PICKLES_BEFORE_1_6)
    declared = sum(storage.n_bytes for storage in storages)
    if declared > size:
        raise CorruptFileError(
            f"{path}: damaged: its tensors need {declared} bytes, but the file has {size}"
        )


def _unsafe_part(message: str) -> str | None:
    """Return the non-tensor content that PyTorch's message names, and the remedy."""
    match = _REFUSED.search(message)
    if match is None:
        return "a TorchScript archive" if "TorchScript" in message else None
    name = match["name"]
    if name.startswith("numpy."):
        return f"NumPy values ({name}); save them as tensors, with torch.as_tensor(x)"
    return f"{name}; save only tensors, such as the state_dict() of a network"


def dense_tensor(where: str, value: Any) -> Any:
    """Return a tensor after checking that it is dense and on the CPU.

    Raises
    ------
    InputError
        If ``value`` is not such a tensor. The message begins with ``where``.
    """
    import torch

    if not isinstance(value, torch.Tensor):
        raise InputError(f"{where}: expected a tensor, got {type(value).__name__}")
    tensor = value.detach()
    if tensor.device.type != "cpu":
        raise InputError(
            f"{where}: expected a tensor on the CPU, got one on the device '{tensor.device.type}', "
            "whose values are not in the file; save it from the CPU"
        )
    refuse_special_tensor(tensor, where)
    return tensor


def checked_tensor(where: str, value: Any) -> Any:
    """Return a tensor after checking that it is dense and that all its values are stored.

    Raises
    ------
    InputError, UnsafeFileError
        If ``value`` is not such a tensor. The message begins with ``where``.
    """
    tensor = dense_tensor(where, value)
    # With strides of 0, a few bytes can declare a tensor of any size.
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise UnsafeFileError(
            f"{where}: the declared shape {tuple(tensor.shape)} needs more than the "
            f"{tensor.untyped_storage().nbytes()} bytes stored; if the tensor was an expanded "
            "view, save it after .clone()"
        )
    return tensor


def read_pt(path: Path, name: str | None) -> NDArray[Any]:
    """Read a tensor of a .pt file by its dotted name, or the file's only tensor."""
    tensors = _tensors(path)
    bare = list(tensors) == [""]
    if bare and name is not None:
        raise InputError(f"{path}: contains one tensor without a name; remove ':{name}'")
    chosen = "" if bare else choose(path, name, list(tensors))
    where = f"{path}:{chosen}".rstrip(":")
    tensor = checked_tensor(where, tensors[chosen])
    if str(tensor.dtype) == "torch.bfloat16":
        tensor = tensor.float()
    require_memory(tensor.numel() * tensor.element_size(), f"reading {where}", SMALLER)
    try:
        return numeric(where, tensor.resolve_conj().resolve_neg().numpy().copy())
    except TypeError as error:
        raise InputError(
            f"{where}: expected a dtype that NumPy supports, got {tensor.dtype}; convert the "
            "tensor to float32 (x.float(), with its scale if it has one) and save it again"
        ) from error


def pt_names(path: Path) -> list[str]:
    """Return the dotted names of a .pt file's tensors in the file's order; "" for a bare tensor."""
    return list(_tensors(path))


def _tensors(path: Path) -> dict[str, Any]:
    tensors: dict[str, Any] = {}
    _collect(path, load_pt(path), "", tensors, 0, Containers(path))
    return tensors


class Containers:
    """The lists and dicts of a saved file that a walk has met, to end a walk without end.

    Ten nested lists, each with the next one ten times, take a kilobyte but have 10^10 members.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._met: set[int] = set()
        self._repeated = 0

    def meet(self, container: Any) -> None:
        """Record that the walk met a container.

        Raises
        ------
        UnsafeFileError
            If the containers that the walk met more than once have too many members in total.
        """
        if id(container) not in self._met:
            self._met.add(id(container))
            return
        self._repeated += len(container)
        if self._repeated > _MAX_REPEATED:
            raise UnsafeFileError(
                f"{self._path}: the same lists or dicts occur repeatedly, with more than "
                f"{_MAX_REPEATED:,} members in total; save each one once"
            )


def _collect(
    path: Path,
    value: Any,
    name: str,
    tensors: dict[str, Any],
    depth: int,
    containers: Containers,
) -> None:
    """Collect the tensors in nested dicts and lists under dotted names."""
    if hasattr(value, "untyped_storage"):  # with weights_only, only tensors have it
        if name in tensors:
            raise InputError(
                f"{path}: two tensors have the name {name!r} when keys are joined by '.'"
            )
        tensors[name] = value
        return
    items: list[tuple[object, object]] = []
    if isinstance(value, dict | list | tuple):
        containers.meet(value)
        items = list(value.items() if isinstance(value, dict) else enumerate(value))
    if items and depth == _MAX_DEPTH:  # a pickled list can contain itself
        raise UnsafeFileError(f"{path}: nested more than {_MAX_DEPTH} levels deep")
    for key, item in items:
        inner = f"{name}.{key}" if name else str(key)
        _collect(path, item, inner, tensors, depth + 1, containers)
