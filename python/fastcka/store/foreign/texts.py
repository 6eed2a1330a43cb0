"""Text that a store can contain: in UTF-8, and not too long."""

from __future__ import annotations

from fastcka.errors import InputError
from fastcka.store.file.columns import MAX_TEXT_BYTES


class TextError(InputError):
    """A column contains text that is no example id and cannot be in a store."""


def require_short(where: str, longest: int) -> None:
    """Raise `TextError` if the longest text, in bytes of UTF-8, is too long for a store."""
    if longest > MAX_TEXT_BYTES:
        raise TextError(
            f"{where}: expected texts of at most {MAX_TEXT_BYTES} bytes, got one of {longest} "
            "bytes; shorten the texts, or write the file without the column"
        )
