"""Opening HDF5 files that may be damaged or hostile.

HDF5 follows soft and external links, reads external storage and virtual datasets from other
files, loads filters as plugins, and allocates the sizes that a header declares. fastcka refuses
each of these before it reads any value. It follows hard links only, one path component at a time,
and compares the declared size of a dataset with the bytes that the file stores.
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

if not hasattr(h5d.DatasetID, "chunk_iter"):  # without it, every file would be reported as damaged
    raise ImportError(
        "fastcka needs an h5py built with HDF5 1.12.3 or newer, got HDF5 "
        f"{h5py.version.hdf5_version}; install the h5py wheel from PyPI"
    )

_MAX_ATTRIBUTE_BYTES: Final = 64 << 10
_MAX_MEMBERS: Final = 100_000
_WORKING_BYTES: Final = 16 << 20  # HDF5 takes at most this to read a file's structure

# The errors that h5py raises for damaged files. MemoryError follows from a damaged size.
# AssertionError, SystemError and UnicodeError (a ValueError) come from h5py's internal checks.
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
    path: Path, obj: h5py.Group | h5py.Dataset | str = "/", *, needed: int = 0
) -> Iterator[None]:
    """Turn HDF5's errors into a `CorruptFileError` that names the file and the object.

    HDF5 reports a lack of memory like damage: a filter failed, or a region cannot be read. If the
    ``needed`` bytes are not available, the error is therefore an `OutOfMemoryError`.
    """
    try:
        yield
    except (StoreError, OutOfMemoryError):
        raise
    except _HDF5_ERRORS as error:
        error.__traceback__ = None  # its frames keep the data alive
        require_working_room(path, needed)
        name = (
            obj if isinstance(obj, str) else str(obj.name)
        )  # only here: looking up a name is slow
        where = str(path) if name == "/" else f"{path}: {name}"
        raise CorruptFileError(f"{where}: damaged: {_in_words(name, error)}") from error


def require_working_room(path: Path, needed: int = 0) -> None:
    """Check that HDF5 has enough memory to read a file; HDF5 may crash if an allocation fails.

    ``needed`` bytes are required in addition to those for the file's structure.
    """
    require_room(_WORKING_BYTES + needed, str(path))


def _in_words(name: str, error: BaseException) -> str:
    """Return HDF5's message about a common kind of damage in plain words."""
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
    """Open a file for reading after checking that it is a plain file with HDF5's signature.

    Raises
    ------
    StoreError
        If the file is missing or cannot be opened.
    UnsafeFileError
        If it is a symbolic link (unless followed), a pipe or another special file.
    InputError
        If it is a MATLAB or netCDF file of a format older than HDF5.
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
        # An explicit driver: HDF5_DRIVER may select one without a file descriptor.
        file = h5py.File(path, "r", driver="sec2", locking="best-effort")
    try:
        yield file
    finally:
        with named_errors(path):
            file.close()


def descriptor(path: Path, file: h5py.File) -> int:
    """Return HDF5's descriptor of an open file; it is valid until the file is closed."""
    with named_errors(path):
        return int(file.id.get_vfd_handle())


def member(path: Path, group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset:
    """Return a member of a group by its name; the name must be a hard link.

    Raises
    ------
    UnsafeFileError
        If the name is a soft, external or user-defined link.
    CorruptFileError
        If the group has no such member, or the member is neither a group nor a dataset.
    """
    full = f"{group.name.rstrip('/')}/{name}"
    with named_errors(path, full):
        encoded = name.encode("utf-8")
        if "/" in name or not group.id.links.exists(encoded):
            raise CorruptFileError(f"{path}: {full} is missing")
        refuse_link(path, group, name)
        obj = group[name]
        if isinstance(obj, h5py.Group | h5py.Dataset):
            return obj
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
    """Return a member of a group that must be a group."""
    obj = member(path, group, name)
    if not isinstance(obj, h5py.Group):
        raise CorruptFileError(f"{path}: {obj.name}: expected a group, got a dataset")
    return obj


def dataset(path: Path, group: h5py.Group, name: str) -> h5py.Dataset:
    """Return a member of a group that must be a dataset; does not check its storage."""
    obj = member(path, group, name)
    if not isinstance(obj, h5py.Dataset):
        raise CorruptFileError(f"{path}: {obj.name}: expected a dataset, got a group")
    return obj


def member_names(path: Path, group: h5py.Group) -> list[str]:
    """Return the names of a group's members; refuse too many members, and names not in UTF-8."""
    with named_errors(path, group):
        if len(group) > _MAX_MEMBERS:
            raise UnsafeFileError(
                f"{path}: {group.name}: expected at most {_MAX_MEMBERS} members, got {len(group)}"
            )
        names = list(group)
        for name in names:
            if not isinstance(name, str):  # h5py returns the bytes
                raise CorruptFileError(f"{path}: {group.name}: the name {name!r} is not UTF-8")
        return names


def text_attribute(path: Path, obj: h5py.Group | h5py.Dataset, name: str) -> str | None:
    """Return a fixed-length UTF-8 attribute, or None if it is missing.

    Raises
    ------
    CorruptFileError
        If the attribute has another type, variable length, a shape, or is not UTF-8.
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
                f"{path}: {obj.name}: attribute {name!r}: expected at most {_MAX_ATTRIBUTE_BYTES} "
                f"bytes, got {size}"
            )
        value = np.empty((), dtype=f"S{size}")
        attribute.read(value, kind)  # the stored type: HDF5 does not convert character sets
        return bytes(value[()]).decode("utf-8")


def integer_attribute(path: Path, obj: h5py.Group | h5py.Dataset, name: str) -> int | None:
    """Return a scalar integer attribute, or None if it is missing."""
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
