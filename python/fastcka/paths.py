"""The names of files and folders that a caller passes."""

from __future__ import annotations

import os
from pathlib import Path

from fastcka.errors import InputError


def given_path(path: object, argument: str = "path") -> Path:
    """Return a caller's path.

    Raises
    ------
    InputError
        It is neither text nor a path, contains a null character, or its first folder is ``~``,
        which would be a folder of that name.
    """
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str):
        raise InputError(
            f"{argument}: expected text or a pathlib.Path, got an object of type "
            f"{type(path).__name__}"
        )
    if "\0" in text:
        raise InputError(f"{argument}: expected no null character, got {text!r:.100}")
    if text == "~" or text.startswith("~/"):
        raise InputError(
            f"{argument}: ~ is not expanded: expected a path such as "
            f"pathlib.Path({text!r}).expanduser(), got {text!r}"
        )
    return Path(text)
