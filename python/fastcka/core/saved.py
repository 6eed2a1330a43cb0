"""A header and arrays in an .npz file, which `numpy.load` reads too (nothing is pickled)."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcka.errors import InputError
from fastcka.files import replaced_stream
from fastcka.paths import given_path

#: Marks the items of a tuple, which JSON does not distinguish from a list.
_TUPLE = "__tuple__"


def save_npz(
    path: str | os.PathLike[str],
    kind: str,
    version: int,
    header: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
) -> None:
    """Write a file of a kind, such as "comparison"; it appears when it is complete.

    The tuples in ``header["labels"]`` remain tuples when the file is read.

    Raises
    ------
    InputError
        If the name does not end in .npz, its folder does not exist, or the header contains other
        values than those of JSON.
    WriteError
        If the file cannot be written.
    """
    path = given_path(path)
    if path.suffix != ".npz":
        raise InputError(f"expected a name *.npz for a saved {kind}, got '{path}'")
    labels = [_encoded(label) for label in header["labels"]]
    header = {"format": f"fastcka.{kind}", "version": version, **header, "labels": labels}
    try:
        text = json.dumps(header)
    except TypeError as error:
        raise InputError(f"to be saved, labels must be JSON values: {error}") from error
    require_folder(path)
    with replaced_stream(path) as file:
        np.savez(file, allow_pickle=False, header=np.array(text), **arrays)


def load_npz(
    path: str | os.PathLike[str], kind: str, versions: Sequence[int], required: Sequence[str]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return the header and the arrays of a file that `save_npz` wrote.

    Raises
    ------
    InputError
        If it is no such file, is damaged, has none of the versions, or lacks a required array or
        value of the header.
    """
    path = given_path(path)
    name = str(path)
    try:
        # For a file that is not a zip file, the error of np.load would suggest unpickling.
        is_zip = zipfile.is_zipfile(path)
        if not is_zip:
            path.open("rb").close()  # says why it cannot be read
    except OSError as error:
        raise InputError(f"{name}: {error.strerror or error}") from error
    if not is_zip:
        raise InputError(f"{name} is not a saved {kind}: not an .npz file")
    try:
        # np.load leaves a file open that it opened itself and cannot read.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            arrays = {key: file[key] for key in file.files if key != "header"}
            written = header.get("format"), header.get("version")
    except OSError as error:
        raise InputError(f"{name}: {error.strerror or error}") from error
    except MemoryError:
        raise
    except Exception as error:  # damage can raise any error of zipfile, zlib, NumPy and tokenize
        reason = str(error) or type(error).__name__
        raise InputError(f"{name} is not a saved {kind}, or is damaged: {reason}") from error
    if written[0] != f"fastcka.{kind}" or written[1] not in versions:
        raise InputError(
            f"{name}: expected fastcka.{kind} version {' or '.join(map(str, versions))}, "
            f"got {written[0]} version {written[1]}"
        )
    missing = [key for key in required if key not in arrays and key not in header]
    if missing:
        raise InputError(f"{name} is not a saved {kind}: it contains no {', '.join(missing)}")
    return header | {"labels": _decoded(header["labels"])}, arrays


def require_folder(path: Path) -> None:
    """Raise `InputError` if the folder of a file that is to be written does not exist."""
    if not path.parent.is_dir():
        raise InputError(f"{path}: cannot be written: No such file or directory: {path.parent}")


def _encoded(value: Any) -> Any:
    """Return a value of a label for JSON, from which `_decoded` restores it."""
    if isinstance(value, tuple):
        return {_TUPLE: [_encoded(each) for each in value]}
    if isinstance(value, list):
        return [_encoded(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    for name in value:
        if not isinstance(name, str):
            raise InputError(f"to be saved, the fields of labels must be text, got {name!r}")
        if name == _TUPLE:
            raise InputError(f"to be saved, labels must not have a field {_TUPLE!r}")
    return {name: _encoded(each) for name, each in value.items()}


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    if value.keys() == {_TUPLE}:
        return tuple(_decoded(value[_TUPLE]))
    return {name: _decoded(each) for name, each in value.items()}
