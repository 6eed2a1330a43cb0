"""Arrays in .npy and .npz files, without pickle and without bombs."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import numpy as np
from numpy.lib import format as npy

from fastcka.errors import CorruptFileError, FastckaError, InputError, UnsafeFileError
from fastcka.memory import require_memory
from fastcka.out_of_memory import raise_if_shortage
from fastcka.store.foreign.naming import choose

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

Chosen = Callable[[tuple[int, ...], "np.dtype[Any]"], bool]
_Read = TypeVar("_Read")

FREE_EXPANSION_BYTES: Final = 256 << 20
MAX_EXPANSION: Final = 100
"""Compressed data may grow to 256 MiB, or beyond that to 100 times its size in the file.

Deflate reaches 1,032 times on zeros; activations, even sparse ones, stay below 20.
"""


SMALLER: Final = "compare smaller arrays, of fewer examples or of another dtype"


def numeric(where: str, array: NDArray[Any]) -> NDArray[Any]:
    """Return an array of booleans, integers or floats as it is; refuse other formats."""
    if array.dtype.kind not in "biuf":
        raise InputError(f"{where}: expected a numeric array, got {array.dtype}")
    return array


def check_expansion(where: str, declared: int, stored: int) -> None:
    """Refuse data that would grow out of proportion when read.

    Raises
    ------
    UnsafeFileError
        If more than `FREE_EXPANSION_BYTES` and more than `MAX_EXPANSION` times what is stored.
    """
    if declared > max(FREE_EXPANSION_BYTES, MAX_EXPANSION * stored):
        raise UnsafeFileError(
            f"{where}: {declared} bytes declared, {stored} stored: more than {MAX_EXPANSION} times "
            "as much; write it again without compression if it is what it says"
        )


def read_npy(path: Path, name: str | None) -> NDArray[Any]:
    """Read the array of a .npy file."""
    if name is not None:
        raise InputError(f"{path}: a .npy file holds one array without a name; drop ':{name}'")
    with path.open("rb") as file:
        return _read_npy_stream(str(path), file, path.stat().st_size)


def read_npz(path: Path, name: str | None) -> NDArray[Any]:
    """Read an array of a .npz file; only that one is decompressed."""
    return _in_npz(path, choose(path, name, npz_names(path)), _read_npy_stream)


def read_npy_if(path: Path, chosen: Chosen) -> NDArray[Any] | None:
    """Read the array of a .npy file, numbers or text, if its shape and format are chosen."""
    with path.open("rb") as file:
        return _read_if(str(path), file, path.stat().st_size, chosen)


def read_npz_if(path: Path, name: str, chosen: Chosen) -> NDArray[Any] | None:
    """Read an array of a .npz file, numbers or text, if its shape and format are chosen."""
    return _in_npz(path, name, lambda where, file, size: _read_if(where, file, size, chosen))


def npz_names(path: Path) -> list[str]:
    """Return the names of a .npz file's arrays, in its order."""
    return [info.filename.removesuffix(".npy") for info in check_zip(path)]


def check_zip(path: Path) -> list[zipfile.ZipInfo]:
    """Return the members of a zip file once their declared sizes are found credible."""
    with named_errors(str(path), "a zip file"), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    available = path.stat().st_size
    names = Counter(info.filename.lower() for info in members)  # PyTorch finds them so
    twice = next((name for name, count in names.items() if count > 1), None)
    if twice is not None:
        raise CorruptFileError(f"{path}: two members are called {twice!r}")
    for info in members:
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UnsafeFileError(f"{path}:{info.filename}: compression {info.compress_type}")
        # What a member says of its own stored size is believed only up to the file's.
        check_expansion(
            f"{path}:{info.filename}", info.file_size, min(info.compress_size, available)
        )
    # Members may overlap in the file, so the sum is held against the whole.
    check_expansion(str(path), sum(info.file_size for info in members), available)
    return members


def _in_npz(path: Path, name: str, read: Callable[[str, IO[bytes], int], _Read]) -> _Read:
    """Return what ``read`` makes of a member, given as a stream of a known size."""
    members = {info.filename.removesuffix(".npy"): info for info in check_zip(path)}
    where = f"{path}:{name}"
    with (
        named_errors(where, "a zip file"),
        zipfile.ZipFile(path) as archive,
        archive.open(members[name]) as file,
    ):
        return read(where, file, members[name].file_size)


def _read_if(where: str, file: IO[bytes], size: int, chosen: Chosen) -> NDArray[Any] | None:
    with named_errors(where, "a .npy array"):
        header = _header(where, file)
        return _values(where, file, size, header) if chosen(header.shape, header.dtype) else None


def _read_npy_stream(where: str, file: IO[bytes], size: int) -> NDArray[Any]:
    """Read one array from a stream of a known size, which the header must agree with."""
    with named_errors(where, "a .npy array"):
        header = _header(where, file)
        if header.dtype.hasobject:
            raise UnsafeFileError(f"{where}: holds pickled objects; loading them could run code")
        numeric(where, np.empty(0, dtype=header.dtype))
        return _values(where, file, size, header)


@contextmanager
def named_errors(where: str, kind: str) -> Iterator[None]:
    """Turn what libraries raise for a damaged file, which is no ``kind``, into named errors."""
    try:
        yield
    except (FastckaError, OSError):
        raise
    except Exception as error:  # of every kind, from headers that do not fit
        raise_if_shortage(error, f"reading {where}")
        raise CorruptFileError(f"{where}: not {kind}, or damaged: {error}") from error


class _Header(NamedTuple):
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]


def _header(where: str, file: IO[bytes]) -> _Header:
    version = npy.read_magic(file)
    if version == (1, 0):
        header = _Header(*npy.read_array_header_1_0(file))
    elif version == (2, 0):
        header = _Header(*npy.read_array_header_2_0(file))
    else:  # 3.0 is for field names that are not ASCII, which no numeric array has
        raise InputError(f"{where}: .npy version {version}; expected a numeric array")
    if any(type(length) is not int or length < 0 for length in header.shape):  # True is an int
        raise CorruptFileError(f"{where}: damaged: shape {header.shape} declared")
    if header.dtype.subdtype is not None:
        raise CorruptFileError(f"{where}: damaged: {header.dtype} declared; expected one number")
    return header


def _values(where: str, file: IO[bytes], size: int, header: _Header) -> NDArray[Any]:
    shape, fortran, dtype = header
    count = 1
    for length in shape:
        count *= length
    stored = size - file.tell()
    if count * dtype.itemsize != stored:
        raise CorruptFileError(f"{where}: shape {shape} of {dtype} declared, {stored} bytes stored")
    require_memory(stored, f"reading {where}", SMALLER)
    buffer = bytearray(stored)
    view = memoryview(buffer)
    filled = 0
    while filled < stored and (got := file.readinto(view[filled:])):  # type: ignore[attr-defined]
        filled += got
    if filled != stored:
        raise CorruptFileError(f"{where}: cut off after {filled} of {stored} bytes")
    array = np.frombuffer(buffer, dtype=dtype)
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)
