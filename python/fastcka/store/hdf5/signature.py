"""Whether a file is HDF5, by the signature that the format asks for."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Final

from fastcka.errors import CorruptFileError, InputError

if TYPE_CHECKING:
    from pathlib import Path

_SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
_FIRST_BLOCK: Final = 512
_MATLAB: Final = (
    "a MATLAB file of a version before 7.3, which is not HDF5: save it by save(file, '-v7.3') in "
    "MATLAB, or load it by scipy.io.loadmat and save the array by numpy.save"
)
_OTHERS: Final = {
    b"MATLAB 5.0": _MATLAB,
    b"CDF": "a netCDF file of the classic format, which is not HDF5: convert it by "
    "nccopy -k nc4, or load it by xarray and save the array by numpy.save",
}


def check_signature(path: Path, file: IO[bytes]) -> None:
    """Refuse a file without HDF5's signature, which is at byte 0, 512, 1024, 2048, ... of it.

    What is before the signature is a block of the user's, as MATLAB writes it.

    Raises
    ------
    InputError
        If it is a MATLAB or netCDF file of an older format.
    CorruptFileError
        If it is anything else, or cut off.
    """
    start = file.read(len(_SIGNATURE) + 2)
    size = file.seek(0, 2)
    at = 0
    while at + len(_SIGNATURE) <= size:
        file.seek(at)
        if file.read(len(_SIGNATURE)) == _SIGNATURE:
            return
        at = max(_FIRST_BLOCK, 2 * at)
    for magic, what in _OTHERS.items():
        if start.startswith(magic):
            raise InputError(f"{path}: {what}")
    if _SIGNATURE.startswith(start) or start.startswith(b"MATLAB 7"):
        raise CorruptFileError(f"{path}: damaged: the file is cut off after {size} bytes")
    known = f" (it starts with {start[: len(_SIGNATURE)]!r})"
    if path.suffix.lower() == ".mat":
        known += f"; if it is a MATLAB file, then {_MATLAB}"
    raise CorruptFileError(f"{path}: not an HDF5 file{known}")
