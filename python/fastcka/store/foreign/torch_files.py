"""Tensors in .pt files, without running what a pickle may ask for."""

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
    """Return what a .pt file holds: tensors on the CPU in dicts and lists, mapped into memory.

    Every record is read once and held against its checksum and against the size of its tensors;
    a process does this again only after a change of the file. Then a tensor's values are read from
    the file when they are used; the file must stay as it is meanwhile. Files older than PyTorch
    1.6 have no checksums and are read whole, as are those written without checksums.

    Raises
    ------
    CorruptFileError, UnsafeFileError
        If the file is damaged, or holds more than tensors and plain values.
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
    except Exception as error:  # of every kind, on damaged files
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
    """Hold the records of a zip file against their checksums and what the pickle declares."""
    members = {info.filename: info for info in check_zip(path)}
    pickle = f"{next(iter(members), '').partition('/')[0]}/data.pkl"
    if pickle not in members:
        raise CorruptFileError(f"{path}: not a PyTorch file: its archive has no record {pickle}")
    packed = [name for name, info in members.items() if info.compress_type != zipfile.ZIP_STORED]
    if packed:
        raise CorruptFileError(
            f"{path}: record {packed[0]} is compressed; save again by torch.save"
        )
    with named_errors(str(path), "a zip file"), zipfile.ZipFile(path) as archive:
        if any(info.CRC for info in members.values()):  # else written without checksums
            damaged = archive.testzip()
            if damaged is not None:
                raise CorruptFileError(f"{path}: the checksum of record {damaged} does not match")
        else:
            members[pickle].CRC = None  # type: ignore[assignment]  # zipfile then checks nothing
        with archive.open(members[pickle]) as file:
            content = file.read()
    for storage in declared_storages(path, io.BytesIO(content), stamp.size, 1):
        name = f"{pickle.removesuffix('.pkl')}/{storage.key}"
        record = members.get(name)
        if record is None:
            raise CorruptFileError(f"{path}: record {name} is missing")
        if record.file_size != storage.n_bytes:
            raise CorruptFileError(
                f"{path}: record {name} has {record.file_size} bytes; its tensors declare "
                f"{storage.n_bytes}"
            )


def _check_old_file(path: Path) -> None:
    """Refuse a file that is older than PyTorch 1.6 and declares more than it holds."""
    size = path.stat().st_size
    with path.open("rb") as file:
        storages = declared_storages(path, file, size, _PICKLES_BEFORE_1_6)
    declared = sum(storage.n_bytes for storage in storages)
    if declared > size:
        raise CorruptFileError(f"{path}: {declared} bytes declared in a file of {size}")


def _unsafe_part(message: str) -> str | None:
    """Return what a file contains beside tensors, from a message of PyTorch's, and what helps."""
    found = _REFUSED.search(message)
    if found is None:
        return "a TorchScript archive" if "TorchScript" in message else None
    name = found["name"]
    if name.startswith("numpy."):
        return f"NumPy values ({name}); save them as tensors, by torch.as_tensor(x)"
    return f"{name}; save tensors alone, such as the state_dict() of a network"


def dense_tensor(where: str, value: Any) -> Any:
    """Return a tensor on the CPU whose values are stored one by one.

    Raises
    ------
    InputError
        If it is no such tensor; the message begins with ``where``.
    """
    import torch

    if not isinstance(value, torch.Tensor):
        raise InputError(f"{where}: expected a tensor, got {type(value).__name__}")
    tensor = value.detach()
    if tensor.device.type != "cpu":
        raise InputError(
            f"{where}: a tensor on the device '{tensor.device.type}', whose values are not in the "
            "file; save it from the CPU"
        )
    refuse_special_tensor(tensor, where)
    return tensor


def checked_tensor(where: str, value: Any) -> Any:
    """Return a tensor that is dense and whose values are all stored.

    Raises
    ------
    InputError, UnsafeFileError
        If it is no such tensor; the message begins with ``where``.
    """
    tensor = dense_tensor(where, value)
    # A few bytes with strides of 0 can declare any size.
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise UnsafeFileError(
            f"{where}: shape {tuple(tensor.shape)} declared, {tensor.untyped_storage().nbytes()} "
            "bytes stored; save it after .clone() if it was an expanded view"
        )
    return tensor


def read_pt(path: Path, name: str | None) -> NDArray[Any]:
    """Read a tensor of a .pt file, found by its dotted name or as the only one."""
    tensors = _tensors(path)
    bare = list(tensors) == [""]
    if bare and name is not None:
        raise InputError(f"{path}: holds one tensor without a name; drop ':{name}'")
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
            f"{where}: values of the format {tensor.dtype}, which NumPy does not have; convert the "
            "tensor to float32 (x.float(), with its scale if it has one) and save it again"
        ) from error


def pt_names(path: Path) -> list[str]:
    """Return the dotted names of a .pt file's tensors, in its order; "" for a bare tensor."""
    return list(_tensors(path))


def _tensors(path: Path) -> dict[str, Any]:
    tensors: dict[str, Any] = {}
    _collect(path, load_pt(path), "", tensors, 0, Containers(path))
    return tensors


class Containers:
    """Those that a walk through a saved file has met, to end one that could go on for ever.

    Ten lists of which each holds the next ten times take a kilobyte and have 10^10 members.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._met: set[int] = set()
        self._repeated = 0

    def meet(self, container: Any) -> None:
        """Note a container.

        Raises
        ------
        UnsafeFileError
            If those that were met before have too many members in all.
        """
        if id(container) not in self._met:
            self._met.add(id(container))
            return
        self._repeated += len(container)
        if self._repeated > _MAX_REPEATED:
            raise UnsafeFileError(
                f"{self._path}: the same lists or dicts occur again and again, with more than "
                f"{_MAX_REPEATED:,} members in all; save each once"
            )


def _collect(
    path: Path,
    value: Any,
    name: str,
    tensors: dict[str, Any],
    depth: int,
    containers: Containers,
) -> None:
    """Gather the tensors in nested dicts and lists under dotted names."""
    if hasattr(value, "untyped_storage"):  # of all that weights_only lets in, tensors alone
        if name in tensors:
            raise InputError(f"{path}: two tensors are called {name!r} once keys are joined by '.'")
        tensors[name] = value
        return
    items: list[tuple[object, object]] = []
    if isinstance(value, dict | list | tuple):
        containers.meet(value)
        items = list(value.items() if isinstance(value, dict) else enumerate(value))
    if items and depth == _MAX_DEPTH:  # pickles can hold themselves
        raise UnsafeFileError(f"{path}: nested more than {_MAX_DEPTH} deep")
    for key, item in items:
        inner = f"{name}.{key}" if name else str(key)
        _collect(path, item, inner, tensors, depth + 1, containers)
