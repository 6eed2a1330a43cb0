"""Accumulated sums in an .npz file, which `numpy.load` reads too (nothing is pickled)."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from fastcka.core.comparison import require_folder
from fastcka.core.far_moments import FarMoments
from fastcka.core.moments import Moments
from fastcka.errors import InputError
from fastcka.files import replaced_stream

_FORMAT = "fastcka.accumulator"
_VERSION = 1
_ARRAYS = (
    *("exponent", "center", "rows", "products", "norms", "norm_rows", "norm_products"),
    *("least", "most"),
)


def save_moments(path: Path, moments: FarMoments, header: dict[str, Any]) -> None:
    """Write sums, and JSON values with them, to a file that appears when it is complete.

    Raises `InputError` if the name does not end in .npz, the folder does not exist, or the header
    has other values; `WriteError` if the file cannot be written.
    """
    if path.suffix != ".npz":
        raise InputError(f"an accumulator is saved to a file *.npz, got '{path}'")
    header = {
        "format": _FORMAT,
        "version": _VERSION,
        "widths": moments.near.widths,
        "n_near": moments.near.n_examples,
        **header,
    }
    try:
        text = json.dumps(header)
    except TypeError as error:
        raise InputError(f"to be saved, labels must be JSON values: {error}") from error
    require_folder(path)
    with replaced_stream(path) as file:
        np.savez(
            file,
            allow_pickle=False,
            header=np.array(text),
            far=moments.far,
            **{name: getattr(moments.near, name) for name in _ARRAYS},
        )


def load_moments(path: Path) -> tuple[FarMoments, dict[str, Any]]:
    """Read what `save_moments` wrote; raise `InputError` for any other file."""
    try:
        if not zipfile.is_zipfile(path):
            path.open("rb").close()  # says why it cannot be read
            raise InputError(f"{path} is not a saved accumulator: not an .npz file")
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            if header.get("format") != _FORMAT or header.get("version") != _VERSION:
                raise InputError(
                    f"{path}: expected {_FORMAT} version {_VERSION}, "
                    f"got {header.get('format')} version {header.get('version')}"
                )
            arrays = {name: file[name] for name in _ARRAYS}
            near = Moments(tuple(header["widths"]), header["n_near"], **arrays)
            return FarMoments(near, file["far"]), header
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is not a saved accumulator: {error}") from error
