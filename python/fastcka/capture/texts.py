"""The texts of a probe set, from a file or from the library datasets."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastcka.errors import FastckaError, InputError, MissingExtraError
from fastcka.near_misses import near_misses
from fastcka.store.file.columns import encoded_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastcka.capture.text_keys import TextKeys

TEXT: Final = "text"
"""The column of the examples that contains the beginnings of the texts."""
KEPT_CHARACTERS: Final = 200
_DATASET_FILES: Final = ("state.json", "dataset_dict.json")


@dataclass(frozen=True)
class Texts:
    """Texts in their order.

    Attributes
    ----------
    where
        The file or the dataset, for messages.
    texts
        The texts. None of them is empty.
    ids
        The ids; None if the source has none.
    columns
        Columns of the examples. Column ``"text"`` contains at most the first 200 characters of each
        text; "…" is at the end of a text that is longer.
    """

    where: str
    texts: list[str]
    ids: list[Any] | None
    columns: dict[str, list[Any]]


def read_texts(keys: TextKeys, *, local_files_only: bool = False) -> Texts:
    """Read the texts of a probe set.

    Raises
    ------
    InputError
        If the file or the dataset cannot be read, lacks a field or column, or contains no texts, an
        empty one or something else than text.
    MissingExtraError
        If a dataset is requested and datasets is not installed.
    """
    fields = [keys.column, *([keys.ids] if keys.ids else []), *keys.columns]
    if keys.texts is None:
        where = f"dataset {keys.dataset}"
        table = _of_dataset(keys, where, fields, local_files_only=local_files_only)
    else:
        where = str(keys.texts)
        lines = _lines(keys.texts)
        table = {keys.column: lines} if keys.has_lines else _of_objects(where, lines, fields)
    texts = table[keys.column]
    if not texts:
        raise InputError(f"{where}: expected at least one text, got none")
    for position, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise InputError(
                f"{where}: text {position + 1} of {len(texts)}: expected a text, got {text!r:.60}"
            )
    if TEXT in keys.columns:
        raise InputError(
            f"columns: {TEXT!r} is the column for the texts of {where}; remove it, or rename the "
            "column of the dataset"
        )
    columns = {TEXT: [_beginning(text) for text in texts]}
    columns |= {name: table[name] for name in keys.columns}
    try:
        encoded_columns(columns, len(texts))  # the store would refuse them after the capture
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    return Texts(where, texts, table[keys.ids] if keys.ids else None, columns)


def _beginning(text: str) -> str:
    return text if len(text) <= KEPT_CHARACTERS else f"{text[:KEPT_CHARACTERS]}…"


def _lines(file: Path) -> list[str]:
    try:
        content = file.read_text(encoding="utf-8-sig")  # without the mark of Windows
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read as text: {error}") from None
    lines = content.split("\n")  # splitlines would also split at form feeds and the like
    return lines[:-1] if lines[-1] == "" else lines


def _of_objects(where: str, lines: list[str], fields: Sequence[str]) -> dict[str, list[Any]]:
    table: dict[str, list[Any]] = {name: [] for name in fields}
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{where}: line {number}: not valid JSON: {error}") from None
        if not isinstance(entry, dict):
            raise InputError(
                f"{where}: line {number}: expected a JSON object, got {type(entry).__name__}"
            )
        for name in table:
            if name not in entry:
                hint = near_misses(name, list(entry), heading="its fields")
                raise InputError(f"{where}: line {number}: no field {name!r}{hint}")
            table[name].append(entry[name])
    return table


def _of_dataset(
    keys: TextKeys, where: str, fields: Sequence[str], *, local_files_only: bool
) -> dict[str, list[Any]]:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError.of(where, "datasets", "huggingface") from error
    try:
        content = _loaded(datasets, keys, local_files_only=local_files_only)
    except FastckaError:
        raise
    except Exception as error:  # the library raises errors of many kinds
        reason = " ".join(str(error).split())
        only = "; with local_files_only: true, only the local cache is used" * local_files_only
        raise InputError(
            f"{where}: cannot be loaded: {type(error).__name__}: {reason}{only}"
        ) from error
    for name in fields:
        if name not in content.column_names:
            hint = near_misses(name, content.column_names, heading="its columns")
            raise InputError(f"{where}: no column {name!r}{hint}")
    return {name: list(content[name]) for name in fields}


def _loaded(datasets: Any, keys: TextKeys, *, local_files_only: bool) -> Any:
    folder = Path(str(keys.dataset))
    if any((folder / name).is_file() for name in _DATASET_FILES):
        if keys.name is not None:
            raise InputError(f"name: {folder} is a folder of save_to_disk, which has no names")
        content = datasets.load_from_disk(str(folder))
        if keys.split is not None and isinstance(content, datasets.Dataset):
            raise InputError(f"split: {folder} is a single dataset without splits; remove split")
        if keys.split is not None and keys.split not in content:
            raise InputError(
                f"split: {folder} has no split {keys.split!r}"
                f"{near_misses(keys.split, list(content), heading='its splits')}"
            )
        content = content if keys.split is None else content[keys.split]
    else:
        cached = datasets.DownloadConfig(local_files_only=local_files_only)
        content = datasets.load_dataset(
            keys.dataset, keys.name, split=keys.split, download_config=cached
        )
    if not isinstance(content, datasets.Dataset):
        raise InputError(f"split: expected one of {', '.join(content)} for dataset {keys.dataset}")
    return content
