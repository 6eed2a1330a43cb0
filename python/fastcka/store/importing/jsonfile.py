"""Reading JSON that Python programs wrote: with bare NaN tokens, and numbers as texts."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, Final

from fastcka.errors import ImportRefusedError

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES: Final = 256 << 20
UNREADABLE: Final = "unreadable file"

_LIST: Final = re.compile(r"[\w.]*[\[(]{1,2}[\d\s,]*[\])]{1,2}")  # as "torch.Size([2, 1])"
_CONSTANTS: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def read_json(path: Path) -> Any:
    """Return the content of a JSON file. The tokens NaN and Infinity become floats.

    Raises
    ------
    ImportRefusedError
        If the file cannot be read, is over 256 MiB, or is not JSON.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ImportRefusedError(
                UNREADABLE, f"{path}: expected at most {MAX_BYTES} bytes, got {size}"
            )
        # One object for all NaN, so that lists with NaN compare equal.
        return json.loads(path.read_bytes(), parse_constant=_CONSTANTS.__getitem__)
    except OSError as error:
        raise ImportRefusedError(UNREADABLE, f"{path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ImportRefusedError(UNREADABLE, f"{path}: not JSON, or cut off: {error}") from error


def whole_number(where: str, value: Any) -> int | None:
    """Return an integer that may be written as a text or a float; None for null.

    Raises
    ------
    ImportRefusedError
        If the value is anything else.
    """
    if value is None:
        return None
    if isinstance(value, str) and re.fullmatch(r"\s*-?\d{1,20}(\.0*)?\s*", value):
        return int(float(value)) if "." in value else int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ImportRefusedError(UNREADABLE, f"{where}: expected a whole number, got {value!r:.80}")


def whole_numbers(where: str, value: Any) -> tuple[int, ...] | None:
    """Return integers that may be written as a list, a single integer, or the text of a list."""
    if value is None:
        return None
    if isinstance(value, str) and re.fullmatch(
        r"[\w.]*[\[(]{1,2}[\d\s,]*[\])]{1,2}", value.strip()
    ):
        return tuple(int(number) for number in re.findall(r"\d+", value))  # "torch.Size([2, 1])"
    items = value if isinstance(value, list | tuple) else [value]
    numbers = [whole_number(where, item) for item in items]
    return tuple(number for number in numbers if number is not None)
