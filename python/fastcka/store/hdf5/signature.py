"""Checking that a file has the signature of HDF5."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Final

from fastcka.errors import CorruptFileError, InputError

if TYPE_CHECKING:
    from pathlib import Path

_SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
_FIRST_USER_BLOCK: Final = 512  # bytes
_MATLAB: Final = (
    "a MATLAB file of a version before 7.3, which is not HDF5: save it with save(file, '-v7.3') in "
    "MATLAB, or load it with scipy.io.loadmat and save the array with numpy.save"
)
_OTHERS: Final = {
    b"MATLAB 5.0": _MATLAB,
    b"CDF": "a netCDF file of the classic format, which is not HDF5: convert it with "
    "nccopy -k nc4, or load it with xarray and save the array with numpy.save",
}


def check_signature(path: Path, file: IO[bytes]) -> None:
    """Refuse a file without HDF5's signature, which is at byte 0, 512, 1024, 2048, ...

    The bytes before the signature are a user block, such as MATLAB writes.

    Raises
    ------
    InputError
        If it is a MATLAB or netCDF file of an older format.
    CorruptFileError
        If it is another file without the signature, or is cut off.
    """
    start = file.read(len(_SIGNATURE) + 2)
    size = file.seek(0, 2)
    position = 0
    while position + len(_SIGNATURE) <= size:
        file.seek(position)
        if file.read(len(_SIGNATURE)) == _SIGNATURE:
            return
        position = max(_FIRST_USER_BLOCK, 2 * position)
    for magic, kind in _OTHERS.items():
        if start.startswith(magic):
            raise InputError(f"{path}: {kind}")
    if _SIGNATURE.startswith(start) or start.startswith(b"MATLAB 7"):
        raise CorruptFileError(f"{path}: damaged: the file is cut off after {size} bytes")
    details = f" (it starts with {start[: len(_SIGNATURE)]!r})"
    if path.suffix.lower() == ".mat":
        details += f"; if it is a MATLAB file, then {_MATLAB}"
    raise CorruptFileError(f"{path}: not an HDF5 file{details}")
