"""Finding the example ids among the columns of a table or the members of a file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fastcka.errors import ImportRefusedError, InputError
from fastcka.store.file.ids import id_texts, require_unique

if TYPE_CHECKING:
    from collections.abc import Sequence

AMBIGUOUS: Final = "ambiguous ids"

_NOUNS: Final = "example|sample|item|stimulus|image|img|video|file|text|sentence|document|doc"
_ID_NAME: Final = re.compile(
    rf"({_NOUNS})?ids?|({_NOUNS})(names?|paths?)|paths?|uuids?|stimuli", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, eq=False)
class IdField:
    """Values that may be the example ids.

    Attributes
    ----------
    field
        Name of the column or the file's member; for a member without a name, that of the file.
    source
        Name and file of the values, for messages: ``'ids' in m/7.npz``.
    values
        One unchecked value for each example.
    named
        Whether the layout of the file makes them ids, regardless of their name.
    """

    field: str
    source: str
    values: Sequence[Any]
    named: bool = False

    @property
    def known(self) -> bool:
        """Whether the name or the layout of the file makes them ids."""
        return self.named or is_id_name(self.field)

    def __len__(self) -> int:
        return len(self.values)

    def texts(self, n_examples: int | None = None) -> list[str]:
        """Return the values as unique ids.

        Raises
        ------
        ImportRefusedError
            If the values cannot be ids, or their number is wrong. The message names the source.
        """
        if n_examples is not None and len(self) != n_examples:
            raise ImportRefusedError(
                "row counts differ",
                f"{self.source}: expected {n_examples} ids, one for each row of the array, got "
                f"{len(self)}; rename the field if it does not contain the example ids",
            )
        try:
            ids = id_texts(self.source, self.values)
        except InputError as error:
            lacking = any(value in (None, "", b"") or value != value for value in self.values)
            reason = "rows without an id" if lacking else "unusable ids"
            raise ImportRefusedError(reason, str(error)) from None
        try:
            require_unique(self.source, ids)
        except InputError as error:
            raise ImportRefusedError("duplicate ids", str(error)) from None
        return ids


def is_id_name(name: str) -> bool:
    """Return whether a column or member with this name contains ids.

    Such names are ``ids``, ``image_ids``, ``filename``, ``file_names``, ``paths``, ``stimulus_id``
    and similar ones. Case does not matter, nor does "_", "-" or a space between the words.

    Examples
    --------
    >>> [is_id_name(name) for name in ("ids", "File_Names", "paths", "labels", "input_ids")]
    [True, True, True, False, False]
    """
    return _ID_NAME.fullmatch(re.sub(r"[_ -]", "", name)) is not None


def found_ids(
    fields: Sequence[IdField], n_examples: int | None = None
) -> tuple[IdField | None, str]:
    """Return the field that contains the ids, or None and, if fields look like ids, the reason.

    A field with a name for ids (see `is_id_name`) is chosen. Without such a field, the only text
    field with unique values is chosen, unless its values are all numbers.

    Raises
    ------
    ImportRefusedError
        If several fields have such names and contain different ids.
    """
    known = [field for field in fields if field.known]
    if known:
        first, *others = known
        ids = first.texts(n_examples)
        for other in others:
            if other.texts(n_examples) != ids:
                raise ImportRefusedError(
                    AMBIGUOUS,
                    f"{first.source} and {other.source} could both be the example ids, but differ; "
                    "keep one of them, or rename the other so that it does not look like ids",
                )
        return first, ""
    text = [field for field in fields if _is_text(field.values)]
    unique = [
        field
        for field in text
        if not all(map(_is_number, field.values)) and _are_ids(field, n_examples)
    ]
    if len(unique) == 1:
        return unique[0], ""
    if unique:
        names = " and ".join(field.source for field in unique)
        return None, f"{names} could each be ids: rename the right one to 'id'"
    if text:
        names = ", ".join(field.source for field in text)
        return None, f"no ids in {names}: values are missing, repeated or numbers"
    return None, ""


def _is_text(values: Sequence[object]) -> bool:
    items = values.tolist() if hasattr(values, "tolist") else values
    return len(items) > 0 and all(isinstance(item, str | bytes) for item in items)


def _is_number(text: str | bytes) -> bool:
    """Return whether a text is a number (a decimal comma is allowed) and so not a name."""
    try:
        float(text.replace(b",", b".") if isinstance(text, bytes) else text.replace(",", "."))
    except ValueError:
        return False
    return True


def _are_ids(field: IdField, n_examples: int | None) -> bool:
    try:
        field.texts(n_examples)
    except ImportRefusedError:
        return False
    return True
