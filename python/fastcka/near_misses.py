"""Suggestions for a misspelt name."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def near_misses(name: object, known: Sequence[str], *, heading: str = "allowed") -> str:
    """Return "; did you mean x? (allowed: x, ...)" for a misspelt ``name``.

    Double quotes around names are shown but ignored when names are compared.
    """
    bare = {text.strip('"'): text for text in known}
    close = [bare[text] for text in difflib.get_close_matches(str(name).strip('"'), bare, n=2)]
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    shown = ", ".join(known[:20]) + (f" and {len(known) - 20} more" if len(known) > 20 else "")
    return f"{hint} ({heading}: {shown or 'none'})"
