"""Arrays in files that fastcka did not write: FILE:NAME."""

from __future__ import annotations

import json
import math
import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fastcka.errors import InputError, MissingExtraError
from fastcka.memory import require_memory
from fastcka.out_of_memory import named_shortage, raise_if_shortage, require_room
from fastcka.store.file.dtypes import float32_of_bfloat16
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
from fastcka.store.foreign.torch_files import pt_names, read_pt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

_SAFETENSORS_OF_NUMPY: Final = {
    *("BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F16", "F32", "F64", "C64"),
}
_ENDS_OF_FILES: Final = re.compile(
    r"\.(?P<suffix>npy|npz|pt|safetensors|h5|hdf5|mat|nc)(?=:|$)", re.IGNORECASE
)

#: Of safetensors. All others but BF16 are unknown to NumPy, whatever is added to the format.


@named_shortage("reading an array")
def read_array(source: str | os.PathLike[str]) -> NDArray[Any]:
    """Read one array from a NumPy, PyTorch, safetensors or HDF5 file.

    Nothing in the file is executed and no other file is read: pickled objects, links, external
    storage and virtual datasets are refused, and so is a size that the file does not hold.

    Parameters
    ----------
    source
        ``a.npy``, ``a.npz:name``, ``a.pt:name``, ``a.safetensors:name`` or ``a.h5:/path/to/x``
        (``.hdf5`` too, ``.mat`` of MATLAB 7.3 and ``.nc`` of netCDF 4). The name may be left out if
        the file holds one array. Names in a ``.pt`` file are the keys of its dicts and positions in
        its lists, joined by dots.

    Returns
    -------
    ndarray
        The values in memory, of the file's format; bfloat16 as float32, which is exact. A
        variable that MATLAB wrote has the size that MATLAB shows: its file stores the axes
        reversed. Other HDF5 datasets have the shape that HDF5 shows.

    Raises
    ------
    InputError
        If there is no such file, the array is not numeric, values are missing or packed by its
        attributes (``_FillValue``, ``scale_factor`` ...), or a name is wrong or left out; the
        message lists the names.
    CorruptFileError, UnsafeFileError
        If the file is damaged, or asks for what a data file must not.
    MissingExtraError
        If PyTorch or safetensors is needed and not installed.
    """
    return read_member(*split_source(os.fspath(source)))


def has_matlab_axes(source: str | os.PathLike[str]) -> bool:
    """Tell whether MATLAB wrote an array, so that `read_array` reverses the axes of its file."""
    return member_has_matlab_axes(*split_source(os.fspath(source)))


def member_has_matlab_axes(path: Path, name: str | None) -> bool:
    """`has_matlab_axes` with the file and the name apart."""
    return path.suffix.lower() in HDF5_SUFFIXES and is_matlab_variable(path, name)


def read_member(path: Path, name: str | None) -> NDArray[Any]:
    """Read one array of a file; `read_array` with the file and the name apart."""
    if not path.is_file():
        kind = "not a plain file" if path.exists() else "no such file"
        raise InputError(f"{path}: {kind}")
    try:
        return _READERS[path.suffix.lower()](path, name)
    except OSError as error:
        raise_if_shortage(error, f"reading {path}")
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def array_names(path: Path) -> list[str]:
    """Return the names of the arrays in a file, in its order; "" for one without a name."""
    try:
        return _NAMES[path.suffix.lower()](path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def split_source(source: str) -> tuple[Path, str | None]:
    """Split FILE:NAME; the file ends with the first suffix that stands before ":" or the end.

    Where several do (``a.npy:b.npz``), the first that is a file on the disk.
    """
    ends = [match.end() for match in _ENDS_OF_FILES.finditer(source)]
    if not ends:
        raise InputError(
            f"{source!r}: expected a .npy, .npz, .pt, .safetensors, .h5, .hdf5, .mat or .nc "
            "file, with :NAME after it to choose among several arrays"
        )
    end = next((end for end in ends if Path(source[:end]).is_file()), ends[0])
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
                f"{where}: values of the format {dtype}, which NumPy does not have; convert the "
                "tensor to float32 (in PyTorch x.float(), with its scale if it has one) and save "
                "it again"
            )
        digits = re.search(r"\d+", dtype)  # of F32, BF16; not of BOOL
        size = math.prod(part.get_shape()) * (int(digits[0]) // 8 if digits else 1)
        require_memory(size, f"reading {where}", SMALLER)
        require_room(size, f"reading {where}")  # else it ends in a panic of Rust
        if dtype != "BF16":
            return numeric(where, file.get_tensor(chosen))
        # NumPy has no bfloat16: the bits are taken from where the checked header says.
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
}
_NAMES: Final[dict[str, Callable[[Path], list[str]]]] = {
    ".npy": lambda _: [""],
    ".npz": npz_names,
    ".pt": pt_names,
    ".safetensors": _safetensors_names,
    **dict.fromkeys(HDF5_SUFFIXES, hdf5_names),
}
ARRAY_SUFFIXES: Final = tuple(_READERS)
"""How the names of files that `read_array` reads end."""
