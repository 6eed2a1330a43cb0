"""Columns of text in Parquet files, read so that one long text is in memory only once.

A small file can contain many copies of a long text: as codes of one dictionary, or as prefixes
that each text shares with the one before (the encoding DELTA_BYTE_ARRAY).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastcka.errors import CorruptFileError
from fastcka.store.foreign.parquet.file import check_encoded, chunks_of, open_parquet
from fastcka.store.foreign.texts import TextError, require_short

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DICTIONARY: Final = {"PLAIN", "RLE", "BIT_PACKED", "PLAIN_DICTIONARY", "RLE_DICTIONARY"}
"""Encodings that pyarrow reads as codes and different texts."""
_BATCH_BYTES: Final = 32 << 20
_BATCH_ROWS: Final = 64 << 10


def read_texts(path: Path, name: str) -> list[str | None]:
    """Return the texts of a column; None for a missing one.

    Raises
    ------
    TextError
        If a text is too long for a store, or not UTF-8. Long texts are not copied.
    CorruptFileError, UnsafeFileError
        If the file is damaged, or the column expands implausibly.
    """
    with open_parquet(path) as file:
        check_encoded(file, path, name)
        chunks = list(chunks_of(file, name))
        encodings = {encoding for chunk in chunks for encoding in chunk.encodings}
        longest = max((chunk.total_uncompressed_size for chunk in chunks), default=0)
    values: list[str | None] = []
    if encodings <= _DICTIONARY:
        with open_parquet(path, dictionaries=[name]) as file:
            for group in range(file.metadata.num_row_groups):
                for part in file.read_row_group(group, columns=[name]).column(0).chunks:
                    values += _decoded(path, name, part)
        return values
    # A text of such an encoding may share all bytes of its row group with every other.
    rows = min(max(1, _BATCH_BYTES // max(1, longest)), _BATCH_ROWS)
    with open_parquet(path) as file:
        for batch in file.iter_batches(batch_size=rows, columns=[name]):
            part = batch.column(0)
            values += _decoded(path, name, part) if _has_codes(part) else _plain(path, name, part)
    return values


def _has_codes(part: Any) -> bool:
    from pyarrow import types

    return bool(types.is_dictionary(part.type))


def _decoded(path: Path, name: str, part: Any) -> Iterator[str | None]:
    """Yield the texts of codes; equal texts are one object in memory."""
    texts = _plain(path, name, part.dictionary)
    codes = part.indices.to_pylist()
    if any(code is not None and not 0 <= code < len(texts) for code in codes):
        raise CorruptFileError(
            f"{path}:{name}: damaged: a code is outside its {len(texts)} different texts"
        )
    for code in codes:
        yield None if code is None else texts[code]


def _plain(path: Path, name: str, texts: Any) -> list[Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_string_view(texts.type):
        texts = texts.cast(pa.large_string())
    longest = pc.max(pc.binary_length(texts)).as_py() or 0
    require_short(f"{path}:{name}", longest)
    try:
        values: list[Any] = texts.to_pylist()
    except UnicodeDecodeError as error:
        raise TextError(f"{path}:{name}: expected texts in UTF-8: {error}") from error
    return values
