"""Arrays in files that fastcka did not write: FILE:NAME."""

from __future__ import annotations

import os
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fastcka.errors import CorruptFileError, InputError, MissingExtraError, UnsafeFileError
from fastcka.store.dtypes import float32_of_bfloat16
from fastcka.store.foreign_hdf5 import read_hdf5
from fastcka.store.foreign_numpy import check_zip, numeric, read_npy, read_npz
from fastcka.store.naming import choose

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_ENDS_OF_FILES: Final = re.compile(
    r"\.(?P<suffix>npy|npz|pt|safetensors|h5|hdf5)(?=:|$)", re.IGNORECASE
)
_MAX_DEPTH: Final = 16


def read_array(source: str | os.PathLike[str]) -> NDArray[Any]:
    """Read one array from a NumPy, PyTorch, safetensors or HDF5 file.

    Nothing in the file is executed and no other file is read: pickled objects, links, external
    storage and virtual datasets are refused, and so is a size that the file does not hold.

    Parameters
    ----------
    source
        ``a.npy``, ``a.npz:name``, ``a.pt:name``, ``a.safetensors:name`` or ``a.h5:/path/to/x``
        (``.hdf5`` too). The name may be left out if the file holds one array. Names in a ``.pt``
        file are the keys of its dicts and positions in its lists, joined by dots.

    Returns
    -------
    ndarray
        The values in memory, of the file's format; bfloat16 as float32, which is exact.

    Raises
    ------
    InputError
        If there is no such file, the array is not numeric, or a name is wrong or left out; the
        message lists the names.
    CorruptFileError, UnsafeFileError
        If the file is damaged, or asks for what a data file must not.
    MissingExtraError
        If PyTorch or safetensors is needed and not installed.
    """
    path, name = split_source(os.fspath(source))
    if not path.is_file():
        kind = "not a plain file" if path.exists() else "no such file"
        raise InputError(f"{path}: {kind}")
    try:
        return _READERS[path.suffix.lower()](path, name)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def split_source(source: str) -> tuple[Path, str | None]:
    """Split FILE:NAME; the file ends with the first suffix that stands before ":" or the end.

    Where several do (``a.npy:b.npz``), the first that is a file on the disk.
    """
    ends = [match.end() for match in _ENDS_OF_FILES.finditer(source)]
    if not ends:
        raise InputError(
            f"{source!r}: expected a .npy, .npz, .pt, .safetensors, .h5 or .hdf5 file, with "
            ":NAME after it to choose among several arrays"
        )
    end = next((end for end in ends if Path(source[:end]).is_file()), ends[0])
    return Path(source[:end]), source[end + 1 :] or None


def _read_safetensors(path: Path, name: str | None) -> NDArray[Any]:
    try:
        import safetensors
    except ImportError as error:
        raise MissingExtraError(
            f'{path}: reading it needs safetensors: pip install "fastcka[torch]"'
        ) from error
    try:
        with safetensors.safe_open(path, framework="np") as file:
            chosen = choose(path, name, list(file.keys()))
            if file.get_slice(chosen).get_dtype() != "BF16":
                return numeric(f"{path}:{chosen}", file.get_tensor(chosen))
        # NumPy has no bfloat16; the bytes of the whole file are the one way to them.
        deserialize: Any = safetensors.deserialize
        tensors = dict(deserialize(path.read_bytes()))
        tensor = tensors[chosen]
        bits = np.frombuffer(tensor["data"], dtype="<u2").reshape(tensor["shape"])
        return float32_of_bfloat16(bits)
    except (safetensors.SafetensorError, ValueError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise CorruptFileError(f"{path}: damaged, or of a format NumPy lacks: {error}") from error


def _read_pt(path: Path, name: str | None) -> NDArray[Any]:
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError(
            f'{path}: reading it needs PyTorch: pip install "fastcka[torch]"'
        ) from error
    if zipfile.is_zipfile(path):
        check_zip(path)
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # of every kind, on damaged files
        message = str(error).strip().partition("\n")[0]
        if "weights" in message.lower() or "unsupported" in message.lower():
            raise UnsafeFileError(
                f"{path}: holds more than tensors in dicts and lists; loading it could run code: "
                f"{message}"
            ) from error
        raise CorruptFileError(f"{path}: damaged, cannot be read: {message}") from error
    tensors: dict[str, Any] = {}
    _collect(path, loaded, "", tensors, 0, lambda value: isinstance(value, torch.Tensor))
    bare = list(tensors) == [""]
    if bare and name is not None:
        raise InputError(f"{path}: holds one tensor without a name; drop ':{name}'")
    chosen = "" if bare else choose(path, name, list(tensors))
    where = f"{path}:{chosen}".rstrip(":")
    tensor = tensors[chosen].detach()
    if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        raise InputError(f"{where}: expected a dense tensor, got {tensor.layout} {tensor.dtype}")
    # A few bytes with strides of 0 can declare any size.
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise UnsafeFileError(
            f"{where}: shape {tuple(tensor.shape)} declared, {tensor.untyped_storage().nbytes()} "
            "bytes stored; save it after .clone() if it was an expanded view"
        )
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.to(torch.float32)
    try:
        return numeric(where, tensor.resolve_conj().resolve_neg().numpy().copy())
    except TypeError as error:
        raise InputError(f"{where}: {tensor.dtype} has no NumPy format") from error


def _collect(
    path: Path,
    value: object,
    name: str,
    tensors: dict[str, Any],
    depth: int,
    is_tensor: Callable[[object], bool],
) -> None:
    """Gather the tensors in nested dicts and lists under dotted names."""
    if is_tensor(value):
        if name in tensors:
            raise InputError(f"{path}: two tensors are called {name!r} once keys are joined by '.'")
        tensors[name] = value
        return
    items: list[tuple[object, object]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list | tuple):
        items = list(enumerate(value))
    if items and depth == _MAX_DEPTH:  # pickles can hold themselves
        raise UnsafeFileError(f"{path}: nested more than {_MAX_DEPTH} deep")
    for key, item in items:
        inner = f"{name}.{key}" if name else str(key)
        _collect(path, item, inner, tensors, depth + 1, is_tensor)


_READERS: Final[dict[str, Callable[[Path, str | None], NDArray[Any]]]] = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".pt": _read_pt,
    ".safetensors": _read_safetensors,
    ".h5": read_hdf5,
    ".hdf5": read_hdf5,
}
