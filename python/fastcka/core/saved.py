"""Comparisons in files: one .npz with a header in JSON and an array for each matrix."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcka.core.columns import REQUIRED, STORED
from fastcka.core.inference.moments import Moments
from fastcka.core.inference.options import Inference
from fastcka.errors import InputError
from fastcka.files import replaced_stream

if TYPE_CHECKING:
    from fastcka.core.comparison import Comparison

FORMAT = "fastcka.comparison"
VERSION = 2
#: Version 1 contains no inference.
READ_VERSIONS = (1, 2)

_MOMENT = "moment_"


def write_comparison(comparison: Comparison, path: str | os.PathLike[str]) -> None:
    """Write a comparison; see `Comparison.save`."""
    path = Path(path)
    if path.suffix != ".npz":
        raise InputError(f"a comparison is saved to a file *.npz, got '{path}'")
    undefined = {str(position): reason for position, reason in comparison.undefined.items()}
    header = {
        "format": FORMAT,
        "version": VERSION,
        "labels": comparison.labels,
        "estimator": comparison.estimator,
        "n_examples": comparison.n_examples,
        "provenance": comparison.provenance,
        "undefined": undefined,
        "inference": None if comparison.inference is None else comparison.inference.to_dict(),
    }
    try:
        text = json.dumps(header)
    except TypeError as error:
        raise InputError(f"to be saved, labels must be JSON values: {error}") from error
    arrays: dict[str, Any] = {
        column.attribute: getattr(comparison, column.attribute) for column in STORED
    }
    if comparison.moments is not None:
        arrays |= {f"{_MOMENT}{name}": x for name, x in comparison.moments.arrays().items()}
    require_folder(path)
    with replaced_stream(path) as file:
        np.savez(
            file,
            allow_pickle=False,
            header=np.array(text),
            pairs=comparison.pairs,
            **{name: array for name, array in arrays.items() if array is not None},
        )


def read_fields(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the fields of a saved `Comparison`; errors as `Comparison.load`."""
    required = [*(column.attribute for column in REQUIRED), "pairs"]
    try:
        # For a file that is not a zip file, the error of np.load would suggest unpickling.
        if not zipfile.is_zipfile(path):
            Path(path).open("rb").close()  # says why it cannot be read
            raise InputError(f"{os.fspath(path)} is not a saved comparison: not an .npz file")
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            names = {*(column.attribute for column in STORED), "pairs"} & set(file.files)
            arrays = {name: file[name] for name in (*required, *names)}
            moments = {
                name.removeprefix(_MOMENT): file[name]
                for name in file.files
                if name.startswith(_MOMENT)
            }
    except OSError as error:
        raise InputError(f"{os.fspath(path)}: {error.strerror or error}") from error
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{os.fspath(path)} is not a saved comparison: {error}") from error
    if header.get("format") != FORMAT or header.get("version") not in READ_VERSIONS:
        raise InputError(
            f"{os.fspath(path)}: expected {FORMAT} version {VERSION} (or 1), "
            f"got {header.get('format')} version {header.get('version')}"
        )
    options = header.get("inference")
    return {
        "labels": tuple(header["labels"]),
        "estimator": header["estimator"],
        "n_examples": header["n_examples"],
        "provenance": header["provenance"],
        "undefined": {int(position): reason for position, reason in header["undefined"].items()},
        "moments": Moments.of_arrays(moments),
        "inference": None if options is None else Inference(**options),
        **arrays,
    }


def require_folder(path: Path) -> None:
    """Refuse a path whose folder does not exist."""
    if not path.parent.is_dir():
        raise InputError(f"{path}: cannot be written: No such file or directory: {path.parent}")
