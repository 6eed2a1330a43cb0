"""Opening HDF5 files that may be damaged or hostile.

HDF5 follows soft and external links, reads external storage and virtual datasets from other
files, loads filters as plugins, and allocates what a header declares. Each is refused here
before any value is read: objects are reached one component at a time through hard links only,
and a dataset's declared size is held against what the file stores.
"""

from __future__ import annotations

import re
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import h5py
import numpy as np
from h5py import h5a, h5d, h5l, h5s, h5t

from fastcka.errors import CorruptFileError, OutOfMemoryError, StoreError, UnsafeFileError
from fastcka.out_of_memory import require_room
from fastcka.store.hdf5.signature import check_signature

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HDF5_VERSION: Final[tuple[int, ...]] = h5py.version.hdf5_version_tuple

if not hasattr(h5d.DatasetID, "chunk_iter"):  # else every file would be called damaged
    raise ImportError(
        "fastcka needs an h5py built with HDF5 1.12.3 or newer, as its wheels are; this one has "
        f"{h5py.version.hdf5_version}"
    )

_MAX_ATTRIBUTE_BYTES: Final = 64 << 10
_MAX_MEMBERS: Final = 100_000
_WORKING_BYTES: Final = 16 << 20  # what HDF5 takes to read a file's structure, at most

# What h5py raises for a damaged file. MemoryError: a damaged size. AssertionError, SystemError
# and UnicodeError (a ValueError): its own surprise at what it was given.
_HDF5_ERRORS: Final = (
    OSError,
    RuntimeError,
    LookupError,
    ValueError,
    TypeError,
    ArithmeticError,
    MemoryError,
    AssertionError,
    AttributeError,
    SystemError,
)


@contextmanager
def named_errors(
    path: Path, of: h5py.Group | h5py.Dataset | str = "/", *, needed: int = 0
) -> Iterator[None]:
    """Turn what HDF5 raises into a `CorruptFileError` that names the file and the object.

    HDF5 reports a lack of memory as it reports damage: a filter has failed, a block cannot be read.
    So where the ``needed`` bytes are not to be had now, it is an `OutOfMemoryError`.
    """
    try:
        yield
    except (StoreError, OutOfMemoryError):
        raise
    except _HDF5_ERRORS as error:
        error.__traceback__ = None  # whose frames hold on to what was read
        require_working_room(path, needed)
        name = of if isinstance(of, str) else str(of.name)  # HDF5 takes its time to tell a name
        where = str(path) if name == "/" else f"{path}: {name}"
        raise CorruptFileError(f"{where}: damaged: {_in_words(name, error)}") from error


def require_working_room(path: Path, needed: int = 0) -> None:
    """Make sure that HDF5 can work on a file: where an allocation fails, it may crash.

    ``needed`` are the bytes beside those that it takes for a file's structure.
    """
    require_room(_WORKING_BYTES + needed, str(path))


def _in_words(name: str, error: BaseException) -> str:
    """Return what HDF5 said of the usual damages as a person would say it."""
    text = str(error)
    if "filter returned failure" in text:
        return f"the checksum of {name} does not match"
    if "metadata checksum" in text:
        return "the checksum of its structure does not match"
    cut = re.search(r"truncated file: eof = (\d+), .*stored_eof = (\d+)", text)
    if cut is not None:
        return f"the file is cut off after {int(cut[1]):,} of its {int(cut[2]):,} bytes"
    return f"it cannot be read: {text}"


@contextmanager
def open_hdf5(path: Path, *, follow_symlink: bool = False) -> Iterator[h5py.File]:
    """Open a file for reading once it is known to be a plain file with HDF5's signature.

    Raises
    ------
    StoreError
        If the file is not there or cannot be opened.
    UnsafeFileError
        If it is a symbolic link (unless followed), a pipe or another special file.
    InputError
        If it is of an older format than HDF5, of MATLAB or netCDF.
    CorruptFileError
        If it is not HDF5, or HDF5 refuses it.
    """
    try:
        mode = (path.stat() if follow_symlink else path.lstat()).st_mode
        if not stat.S_ISREG(mode):  # a pipe would hang, a link leads elsewhere
            kind = "a symbolic link" if stat.S_ISLNK(mode) else "not a plain file"
            raise UnsafeFileError(f"{path}: {kind}; expected a plain HDF5 file")
        with path.open("rb") as raw:
            check_signature(path, raw)
    except OSError as error:
        raise StoreError(f"{path}: cannot be opened: {error.strerror or error}") from error
    require_working_room(path)
    with named_errors(path):
        # The driver by its name: HDF5_DRIVER may ask for one that has no descriptor.
        file = h5py.File(path, "r", driver="sec2", locking="best-effort")
    try:
        yield file
    finally:
        with named_errors(path):
            file.close()


def descriptor(path: Path, file: h5py.File) -> int:
    """Return the descriptor that HDF5 reads an open file by; it lives as long as the file."""
    with named_errors(path):
        return int(file.id.get_vfd_handle())


def member(path: Path, group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset:
    """Return the object that a group holds under one name through a hard link.

    Raises
    ------
    UnsafeFileError
        If the name is a soft, external or user-defined link.
    CorruptFileError
        If there is no such name, or it holds neither a group nor a dataset.
    """
    full = f"{group.name.rstrip('/')}/{name}"
    with named_errors(path, full):
        encoded = name.encode("utf-8")
        if "/" in name or not group.id.links.exists(encoded):
            raise CorruptFileError(f"{path}: {full} is missing")
        refuse_link(path, group, name)
        found = group[name]
        if isinstance(found, h5py.Group | h5py.Dataset):
            return found
    raise CorruptFileError(f"{path}: {full}: expected a group or dataset, got a stored type")


def refuse_link(path: Path, group: h5py.Group, name: str) -> None:
    """Raise `UnsafeFileError` if a name in a group is anything but a hard link."""
    kind = group.id.links.get_info(name.encode("utf-8")).type
    if kind != h5l.TYPE_HARD:
        word = {h5l.TYPE_SOFT: "a soft", h5l.TYPE_EXTERNAL: "an external"}.get(kind, "a foreign")
        raise UnsafeFileError(
            f"{path}: {group.name.rstrip('/')}/{name} is {word} link; links are not followed"
        )


def subgroup(path: Path, group: h5py.Group, name: str) -> h5py.Group:
    """Return a group that a group holds."""
    found = member(path, group, name)
    if not isinstance(found, h5py.Group):
        raise CorruptFileError(f"{path}: {found.name}: expected a group, got a dataset")
    return found


def dataset(path: Path, group: h5py.Group, name: str) -> h5py.Dataset:
    """Return a dataset that a group holds; its storage is still unchecked."""
    found = member(path, group, name)
    if not isinstance(found, h5py.Dataset):
        raise CorruptFileError(f"{path}: {found.name}: expected a dataset, got a group")
    return found


def member_names(path: Path, group: h5py.Group) -> list[str]:
    """Return the names in a group, refusing a group too large to be real and names in no UTF-8."""
    with named_errors(path, group):
        if len(group) > _MAX_MEMBERS:
            raise UnsafeFileError(f"{path}: {group.name}: {len(group)} members; too many to list")
        names = list(group)
        for name in names:
            if not isinstance(name, str):  # h5py returns the bytes
                raise CorruptFileError(f"{path}: {group.name}: the name {name!r} is not UTF-8")
        return names


def text_attribute(path: Path, obj: h5py.Group | h5py.Dataset, name: str) -> str | None:
    """Return a fixed-length UTF-8 attribute, or None if there is none.

    Raises
    ------
    CorruptFileError
        If it is of another type, of variable length, not scalar, or not UTF-8.
    """
    with named_errors(path, obj):
        if not h5a.exists(obj.id, name.encode("ascii")):
            return None
        attribute = h5a.open(obj.id, name.encode("ascii"))
        kind = attribute.get_type()
        size = kind.get_size()
        fixed = isinstance(kind, h5t.TypeStringID) and not kind.is_variable_str()
        if not fixed or attribute.get_space().get_simple_extent_type() != h5s.SCALAR:
            raise CorruptFileError(
                f"{path}: {obj.name}: attribute {name!r}: expected one string of fixed length"
            )
        if size > _MAX_ATTRIBUTE_BYTES:
            raise CorruptFileError(
                f"{path}: {obj.name}: attribute {name!r}: {size} bytes; at most "
                f"{_MAX_ATTRIBUTE_BYTES}"
            )
        value = np.empty((), dtype=f"S{size}")
        attribute.read(value, kind)  # as stored: HDF5 converts between no two character sets
        return bytes(value[()]).decode("utf-8")


def integer_attribute(path: Path, obj: h5py.Group | h5py.Dataset, name: str) -> int | None:
    """Return a scalar integer attribute, or None if there is none."""
    with named_errors(path, obj):
        if not h5a.exists(obj.id, name.encode("ascii")):
            return None
        attribute = h5a.open(obj.id, name.encode("ascii"))
        integer = isinstance(attribute.get_type(), h5t.TypeIntegerID)
        if not integer or attribute.get_space().get_simple_extent_type() != h5s.SCALAR:
            raise CorruptFileError(f"{path}: {obj.name}: attribute {name!r}: expected an integer")
        value = np.empty((), dtype=np.int64)
        attribute.read(value)
        return int(value)
