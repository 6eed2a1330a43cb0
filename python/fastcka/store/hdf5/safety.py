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
from typing import TYPE_CHECKING, Any, Final

import h5py
import numpy as np
from h5py import h5a, h5d, h5l, h5s, h5t

from fastcka.errors import CorruptFileError, OutOfMemoryError, StoreError, UnsafeFileError
from fastcka.out_of_memory import require_room
from fastcka.store.hdf5.signature import check_signature

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

HDF5_VERSION: Final[tuple[int, ...]] = h5py.version.hdf5_version_tuple

if not hasattr(h5d.DatasetID, "chunk_iter"):  # else every file would be called damaged
    raise ImportError(
        "fastcka needs an h5py built with HDF5 1.12.3 or newer, as its wheels are; this one has "
        f"{h5py.version.hdf5_version}"
    )

_MAX_ATTRIBUTE_BYTES: Final = 64 << 10
_MAX_MEMBERS: Final = 100_000
_WORKING_BYTES: Final = 16 << 20  # what HDF5 takes to read a file's structure, at most
_LAYOUTS: Final = {h5d.COMPACT: "compact", h5d.CONTIGUOUS: "contiguous", h5d.CHUNKED: "chunked"}

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


def layout_name(path: Path, data: h5py.Dataset) -> str:
    """Return "compact", "contiguous" or "chunked", refusing storage outside the file.

    Raises
    ------
    UnsafeFileError
        If the dataset is virtual or its values lie in another file.
    """
    with named_errors(path, data):
        plist = data.id.get_create_plist()
        if plist.get_external_count():
            raise UnsafeFileError(
                f"{path}: {data.name}: external storage; values in other files are not read"
            )
        layout = plist.get_layout()
        if layout not in _LAYOUTS:
            raise UnsafeFileError(
                f"{path}: {data.name}: a virtual dataset; values in other files are not read"
            )
        return _LAYOUTS[layout]


def filter_codes(path: Path, data: h5py.Dataset) -> list[int]:
    """Return the codes of a dataset's filters, first applied first."""
    with named_errors(path, data):
        plist = data.id.get_create_plist()
        return [int(plist.get_filter(i)[0]) for i in range(plist.get_nfilters())]


def simple_shape(path: Path, data: h5py.Dataset) -> tuple[int, ...]:
    """Return the shape of a dataset, refusing one without (a null dataspace)."""
    with named_errors(path, data):
        if data.id.get_space().get_simple_extent_type() == h5s.NULL:
            raise CorruptFileError(f"{path}: {data.name}: expected an array, got an empty space")
        return tuple(int(size) for size in data.id.shape)


def chunk_grid(data: h5py.Dataset) -> tuple[int, int]:
    """Return how many chunks a chunked dataset is declared to have, and a chunk's bytes."""
    chunk = data.id.get_create_plist().get_chunk()
    count = 1
    for size, step in zip(data.id.shape, chunk, strict=True):
        count *= -(-int(size) // int(step))
    size_of_chunk = data.id.get_type().get_size()
    for step in chunk:
        size_of_chunk *= int(step)
    return count, size_of_chunk


def chunk_offsets(path: Path, data: h5py.Dataset, size: int, file_size: int) -> NDArray[np.int64]:
    """Return where the chunks of a dataset lie in its file, (n_chunks,), by their first row.

    Parameters
    ----------
    path, data
        The file, and its chunked dataset.
    size
        Bytes that each chunk takes.
    file_size
        Bytes of the file.

    Raises
    ------
    CorruptFileError
        If the chunks are not of whole rows, or one is missing, has another size, left out a
        filter, lies outside the file or shares bytes with another.
    """
    where = f"{path}: {data.name}"
    found: list[Any] = []
    with named_errors(path, data):
        if data.chunks[1:] != data.shape[1:]:
            raise CorruptFileError(f"{where}: expected chunks of whole rows, got {data.chunks}")
        rows, n = int(data.chunks[0]), int(data.shape[0])
        data.id.chunk_iter(found.append)
        chunks = np.array(
            [(*info.chunk_offset, info.filter_mask, info.size, info.byte_offset) for info in found],
            dtype=np.uint64,
        )
    count = -(-n // rows)
    if len(chunks) != count:
        raise CorruptFileError(f"{where}: {len(chunks)} of {count} chunks are stored")
    chunks = chunks[np.argsort(chunks[:, 0])]
    positions, columns = chunks[:, 0], chunks[:, 1:-3]
    masks, sizes, offsets = chunks[:, -3:].T
    if (positions != np.arange(count, dtype=np.uint64) * np.uint64(rows)).any() or columns.any():
        raise CorruptFileError(f"{where}: chunks are stored that are not of its {n} rows")
    if masks.any():
        raise CorruptFileError(f"{where}: a chunk is stored without its checksum")
    if (sizes != size).any():
        raise CorruptFileError(
            f"{where}: a chunk of {sizes[sizes != size][0]} bytes; expected {size}"
        )
    ordered = np.sort(offsets)
    if ordered[-1] > file_size - size or (np.diff(ordered) < size).any():
        raise CorruptFileError(f"{where}: chunks lie outside the file or over each other")
    checked: NDArray[np.int64] = offsets.astype(np.int64)
    return checked


def check_chunks(path: Path, data: h5py.Dataset, file_size: int) -> None:
    """Refuse chunks that are no part of a dataset's grid, or empty, or outside the file.

    HDF5 would crash on an empty chunk with a filter.
    """
    found: list[Any] = []
    with named_errors(path, data):
        data.id.chunk_iter(found.append)
        steps, shape = data.chunks, data.shape
    if len({info.chunk_offset for info in found}) != len(found) or not all(
        info.size > 0
        and info.byte_offset + info.size <= file_size
        and all(
            at % step == 0 and at < n
            for at, step, n in zip(info.chunk_offset, steps, shape, strict=True)
        )
        for info in found
    ):
        raise CorruptFileError(
            f"{path}: {data.name}: damaged: a chunk is empty, outside the file, or not of its grid"
        )


def read_all(path: Path, data: h5py.Dataset) -> np.ndarray[Any, np.dtype[Any]]:
    """Return all values of a dataset that has been checked."""
    with named_errors(path, data):
        chunk = chunk_grid(data)[1] if data.chunks else 0
        needed = data.size * data.dtype.itemsize + 2 * chunk  # a chunk as it is stored, and read
    require_working_room(path, needed)
    with named_errors(path, data, needed=needed):
        return np.asarray(data[...])
