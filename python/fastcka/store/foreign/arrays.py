"""Arrays in files that fastcka did not write: FILE:NAME."""

from __future__ import annotations

import json
import math
import os
import re
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fastcka.errors import InputError, MissingExtraError
from fastcka.memory import require_memory
from fastcka.out_of_memory import named_shortage, raise_if_shortage, require_room
from fastcka.store.file.dtypes import float32_of_bfloat16
from fastcka.store.foreign.h5ad import h5ad_names, read_h5ad
from fastcka.store.foreign.hdf5 import (
    HDF5_SUFFIXES,
    hdf5_names,
    is_matlab_variable,
    read_hdf5,
)
from fastcka.store.foreign.naming import choose
from fastcka.store.foreign.numpy_files import (
    SMALLER,
    named_errors,
    npz_names,
    numeric,
    read_npy,
    read_npz,
)
from fastcka.store.foreign.parquet.arrays import parquet_names, read_parquet
from fastcka.store.foreign.torch_files import pt_names, read_pt
from fastcka.store.foreign.zarr_folders import read_zarr, zarr_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

# safetensors dtypes that NumPy supports; BF16 is converted, all others are refused.
_SAFETENSORS_OF_NUMPY: Final = {
    *("BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F16", "F32", "F64", "C64"),
}
_ENDS_OF_FILES: Final = re.compile(
    r"\.(?P<suffix>npy|npz|pt|safetensors|h5|hdf5|mat|nc|h5ad|parquet|zarr/*)(?=:|$)", re.IGNORECASE
)
_INSIDE_ZARR: Final = re.compile(r"(?P<folder>.*?\.zarr)/+(?P<name>.*)", re.IGNORECASE | re.DOTALL)


@named_shortage("reading an array")
def read_array(source: str | os.PathLike[str]) -> NDArray[Any]:
    """Read one array from a NumPy, PyTorch, safetensors, HDF5, AnnData, Parquet or zarr file.

    `read_array` executes nothing in the file and reads no other file. It refuses pickled objects,
    links, external storage, virtual datasets, and arrays with a declared size that the file does
    not contain.

    Parameters
    ----------
    source
        ``a.npy``, ``a.npz:name``, ``a.pt:name``, ``a.safetensors:name`` or ``a.h5:/path/to/x``.
        ``.hdf5``, ``.mat`` (MATLAB 7.3) and ``.nc`` (netCDF 4) work like ``.h5``. The name may be
        omitted if the file contains one array. Names in a ``.pt`` file are the keys of its dicts
        and the positions in its lists, joined by dots. Further, ``a.h5ad:obsm/X_pca`` (or ``X``,
        ``layers/counts``), ``a.parquet:column`` with a column of lists, ``a.parquet:emb_*`` with
        columns of numbers, and ``a.zarr:group/x``.

    Returns
    -------
    ndarray
        The values in memory in the file's dtype; bfloat16 becomes float32, which is exact. A
        MATLAB variable has the size that MATLAB shows, although its file stores the axes reversed.
        Other HDF5 datasets have the shape that HDF5 shows.

    Raises
    ------
    InputError
        If the file is missing, the array is not numeric, attributes mark values as missing or
        packed (``_FillValue``, ``scale_factor`` ...), or the name is wrong or omitted. The message
        then lists the names.
    CorruptFileError, UnsafeFileError
        If the file is damaged, or uses a feature that is unsafe in a data file.
    MissingExtraError
        If PyTorch, safetensors, pyarrow, zarr or scipy is needed and not installed.
    """
    return read_member(*split_source(source))


def has_matlab_axes(source: str | os.PathLike[str]) -> bool:
    """Return whether MATLAB wrote an array, whose stored axes `read_array` then reverses."""
    return member_has_matlab_axes(*split_source(source))


def member_has_matlab_axes(path: Path, name: str | None) -> bool:
    """Return the same as `has_matlab_axes` for a file and a name."""
    return path.suffix.lower() in HDF5_SUFFIXES and is_matlab_variable(path, name)


def read_member(path: Path, name: str | None) -> NDArray[Any]:
    """Read one array of a file; see `read_array`."""
    if not is_array_file(path):
        raise InputError(f"{path}: {_why_not_read(path)}")
    try:
        return _READERS[path.suffix.lower()](path, name)
    except OSError as error:
        raise_if_shortage(error, f"reading {path}")
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def is_array_file(path: Path) -> bool:
    """Return whether a path is a plain file, or a folder of zarr."""
    # Unlike those of Path, these calls raise nothing, for example for a name that is too long.
    return os.path.isdir(path) if path.suffix.lower() == ".zarr" else os.path.isfile(path)


def _why_not_read(path: Path) -> str:
    """Return why a path is not an array file; see `is_array_file`."""
    suffix = path.suffix.lower()
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a null character
        hint = (
            ": ~ is not expanded, os.path.expanduser does that" if path.parts[:1] == ("~",) else ""
        )
        return f"no such file{hint}"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    if suffix == ".zarr":
        return "expected a folder, got a file"
    if not is_folder:
        return "not a plain file"
    if suffix == ".parquet":
        return (
            "expected a file, got a folder: write its tables into one file, for example by "
            "pandas.read_parquet(FOLDER).to_parquet(FILE)"
        )
    return "expected a file, got a folder"


def array_names(path: Path) -> list[str]:
    """Return the names of a file's arrays in the file's order; "" for an array without a name."""
    try:
        return _NAMES[path.suffix.lower()](path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def split_source(given: str | os.PathLike[str]) -> tuple[Path, str | None]:
    """Split FILE:NAME after a known suffix that is followed by ":" or is at the end.

    If several suffixes qualify (``a.npy:b.npz``), the first one that gives an existing file is
    used, else the first one.
    """
    source = os.fspath(given) if isinstance(given, str | os.PathLike) else None
    if not isinstance(source, str):
        raise InputError(
            "source: expected the name of a file as text or a path, FILE or FILE:NAME, got a "
            f"{type(given).__name__}"
        )
    ends = [match.end() for match in _ENDS_OF_FILES.finditer(source)]
    if not ends:
        if inside := _INSIDE_ZARR.match(source):
            raise InputError(
                f"{source!r}: expected the name of an array in a zarr folder after a colon, as in "
                f"{inside['folder']}:{inside['name']}"
            )
        raise InputError(
            f"{source!r}: expected a file that ends in {', '.join(ARRAY_SUFFIXES[:-1])} or "
            f"{ARRAY_SUFFIXES[-1]}, followed by :NAME if it contains several arrays"
        )
    end = next((end for end in ends if is_array_file(Path(source[:end]))), ends[0])
    return Path(source[:end]), source[end + 1 :] or None


def _safetensors_names(path: Path) -> list[str]:
    with _open_safetensors(path) as file:
        return list(file.keys())


@contextmanager
def _open_safetensors(path: Path) -> Iterator[Any]:
    try:
        import safetensors
    except ImportError as error:
        raise MissingExtraError.of(f"reading {path}", "safetensors", "torch") from error
    with (
        named_errors(str(path), "a safetensors file"),
        safetensors.safe_open(path, framework="np") as file,
    ):
        yield file


def _read_safetensors(path: Path, name: str | None) -> NDArray[Any]:
    with _open_safetensors(path) as file:
        chosen = choose(path, name, list(file.keys()))
        where = f"{path}:{chosen}"
        part = file.get_slice(chosen)
        dtype = part.get_dtype()
        if dtype not in _SAFETENSORS_OF_NUMPY and dtype != "BF16":
            raise InputError(
                f"{where}: expected a dtype that NumPy supports, got {dtype}; convert the tensor "
                "to float32 (in PyTorch x.float(), with its scale if it has one) and save it again"
            )
        digits = re.search(r"\d+", dtype)  # in F32 and BF16, but not in BOOL
        size = math.prod(part.get_shape()) * (int(digits[0]) // 8 if digits else 1)
        require_memory(size, f"reading {where}", SMALLER)
        require_room(size, f"reading {where}")  # a failed allocation would be a panic in Rust
        if dtype != "BF16":
            return numeric(where, file.get_tensor(chosen))
        # NumPy has no bfloat16: read the bits at the offsets in the header, which is checked.
        with path.open("rb") as raw:
            length = int.from_bytes(raw.read(8), "little")
            begin, end = json.loads(raw.read(length))[chosen]["data_offsets"]
            raw.seek(8 + length + begin)
            bits = np.frombuffer(raw.read(end - begin), dtype="<u2").reshape(part.get_shape())
        return float32_of_bfloat16(bits)


_READERS: Final[dict[str, Callable[[Path, str | None], NDArray[Any]]]] = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".pt": read_pt,
    ".safetensors": _read_safetensors,
    **dict.fromkeys(HDF5_SUFFIXES, read_hdf5),
    ".h5ad": read_h5ad,
    ".parquet": read_parquet,
    ".zarr": read_zarr,
}
_NAMES: Final[dict[str, Callable[[Path], list[str]]]] = {
    ".npy": lambda _: [""],
    ".npz": npz_names,
    ".pt": pt_names,
    ".safetensors": _safetensors_names,
    **dict.fromkeys(HDF5_SUFFIXES, hdf5_names),
    ".h5ad": h5ad_names,
    ".parquet": parquet_names,
    ".zarr": zarr_names,
}
ARRAY_SUFFIXES: Final = tuple(_READERS)
"""Suffixes of the files that `read_array` reads."""
