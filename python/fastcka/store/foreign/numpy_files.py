"""Arrays in .npy and .npz files; pickled objects and decompression bombs are refused."""

from __future__ import annotations

import math
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
"""Compressed data may expand to 256 MiB, or to 100 times its size in the file if that is more.

Deflate expands zeros 1,032 times. Activations, even sparse ones, expand less than 20 times.
"""


SMALLER: Final = "compare smaller arrays, with fewer examples or a smaller dtype"


def numeric(where: str, array: NDArray[Any]) -> NDArray[Any]:
    """Return an array of booleans, integers or floats unchanged; refuse other dtypes."""
    if array.dtype.kind not in "biuf":
        raise InputError(f"{where}: expected a numeric array, got {array.dtype}")
    return array


def check_expansion(where: str, declared: int, stored: int) -> None:
    """Refuse data that would expand implausibly when it is read.

    Raises
    ------
    UnsafeFileError
        If ``declared`` exceeds both `FREE_EXPANSION_BYTES` and `MAX_EXPANSION` times ``stored``.
    """
    if declared > max(FREE_EXPANSION_BYTES, MAX_EXPANSION * stored):
        raise UnsafeFileError(
            f"{where}: expected data that expands at most {MAX_EXPANSION} times, got {declared} "
            f"bytes declared and {stored} stored; if the size is right, write the file again "
            "without compression"
        )


def read_npy(path: Path, name: str | None) -> NDArray[Any]:
    """Read the array of a .npy file."""
    if name is not None:
        raise InputError(f"{path}: a .npy file contains one array without a name; remove ':{name}'")
    with path.open("rb") as file:
        return _read_npy_stream(str(path), file, path.stat().st_size)


def read_npz(path: Path, name: str | None) -> NDArray[Any]:
    """Read an array of a .npz file; no other array is decompressed."""
    return _in_npz(path, choose(path, name, npz_names(path)), _read_npy_stream)


class NpyLayout(NamedTuple):
    """Where the values of a .npy file are."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    offset: int


def npy_layout(path: Path) -> NpyLayout:
    """Return the layout of the array of a .npy file after checking it as `read_npy`."""
    where = str(path)
    with path.open("rb") as file, named_errors(where, "a .npy array"):
        header = _numeric_header(where, file)
        _check_size(where, path.stat().st_size - file.tell(), header)
        return NpyLayout(*header, file.tell())


def read_npy_if(path: Path, chosen: Chosen) -> NDArray[Any] | None:
    """Read the array of a .npy file, numbers or text, if ``chosen(shape, dtype)`` is true."""
    with path.open("rb") as file:
        return _read_if(str(path), file, path.stat().st_size, chosen)


def read_npz_if(path: Path, name: str, chosen: Chosen) -> NDArray[Any] | None:
    """Read an array of a .npz file, numbers or text, if ``chosen(shape, dtype)`` is true."""
    return _in_npz(path, name, lambda where, file, size: _read_if(where, file, size, chosen))


def npz_names(path: Path) -> list[str]:
    """Return the names of a .npz file's arrays in the file's order."""
    return [info.filename.removesuffix(".npy") for info in check_zip(path)]


def check_zip(path: Path) -> list[zipfile.ZipInfo]:
    """Return the members of a zip file after checking their declared sizes."""
    with named_errors(str(path), "a zip file"), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    available = path.stat().st_size
    names = Counter(info.filename.lower() for info in members)  # PyTorch ignores case
    twice = next((name for name, count in names.items() if count > 1), None)
    if twice is not None:
        raise CorruptFileError(f"{path}: two members have the name {twice!r}")
    for info in members:
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UnsafeFileError(
                f"{path}:{info.filename}: expected no compression or deflate, got compression "
                f"method {info.compress_type}"
            )
        # A member may declare a stored size larger than the file.
        check_expansion(
            f"{path}:{info.filename}", info.file_size, min(info.compress_size, available)
        )
    # Members may overlap in the file, so their sum is compared with the size of the file.
    check_expansion(str(path), sum(info.file_size for info in members), available)
    return members


def _in_npz(path: Path, name: str, read: Callable[[str, IO[bytes], int], _Read]) -> _Read:
    """Return ``read(name, stream, size)`` for a member of a .npz file."""
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
    """Read one array from a stream; the header must match the size of the stream."""
    with named_errors(where, "a .npy array"):
        return _values(where, file, size, _numeric_header(where, file))


def _numeric_header(where: str, file: IO[bytes]) -> _Header:
    header = _header(where, file)
    if header.dtype.hasobject:
        raise UnsafeFileError(
            f"{where}: expected numbers, got pickled objects, which could run code when loaded"
        )
    numeric(where, np.empty(0, dtype=header.dtype))
    return header


@contextmanager
def named_errors(where: str, kind: str) -> Iterator[None]:
    """Turn errors of libraries into `CorruptFileError`: the file is damaged or not ``kind``."""
    try:
        yield
    except FastckaError:
        raise
    except Exception as error:  # damaged headers raise errors of many kinds
        raise_if_shortage(error, f"reading {where}")
        if isinstance(error, OSError) and error.errno is not None:  # of the system, not a library
            raise
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
    else:  # 3.0 is for field names that are not ASCII; a numeric array has no fields
        raise InputError(
            f"{where}: expected a numeric array of .npy version (1, 0) or (2, 0), got version "
            f"{version}"
        )
    if any(type(length) is not int or length < 0 for length in header.shape):  # True is an int
        raise CorruptFileError(f"{where}: damaged: the declared shape is {header.shape}")
    if header.dtype.subdtype is not None:
        raise CorruptFileError(
            f"{where}: damaged: expected a dtype of single numbers, got {header.dtype}"
        )
    return header


def _values(where: str, file: IO[bytes], size: int, header: _Header) -> NDArray[Any]:
    shape, fortran, dtype = header
    stored = size - file.tell()
    _check_size(where, stored, header)
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


def _check_size(where: str, stored: int, header: _Header) -> None:
    shape, _, dtype = header
    declared = math.prod(shape) * dtype.itemsize
    if declared != stored:
        raise CorruptFileError(
            f"{where}: damaged: the declared shape {shape} of {dtype} needs {declared} bytes, but "
            f"{stored} are stored"
        )
