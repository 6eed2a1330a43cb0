"""Whether the rows of two representations can be matched: positions are not ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

GIVE_IDS: Final = (
    "give the rows ids: example_ids in Store.write, ids in Probe (or in the .npz file of a probe "
    "set), or, for `fastcka store import`, ids.txt, file_names.txt or examples.csv in the "
    "folder of the arrays"
)


class NamedRows(NamedTuple):
    """How the rows of a representation are named.

    Parameters
    ----------
    name
        Name of the representation in error messages.
    n_examples
        Number of rows.
    positional_ids
        Whether the ids are only row positions.
    """

    name: str
    n_examples: int
    positional_ids: bool


def join_refusal(sides: Sequence[NamedRows]) -> str | None:
    """Return why rows of representations cannot be matched, and the remedy; None if they can.

    Positional ids match only positional ids of the same number of rows. Otherwise it is unknown
    which row a shorter representation lacks, or which id belongs to which position.
    """
    one = next((side for side in sides if side.positional_ids), None)
    if one is None:
        return None
    other = next(
        (side for side in sides if not side.positional_ids or side.n_examples != one.n_examples),
        None,
    )
    if other is None:
        return None
    named = "also named by position" if other.positional_ids else "named by ids"
    return (
        f"{one.name} has no example ids: its {one.n_examples} rows are named by position; "
        f"{other.name} has {other.n_examples} rows, {named}; their rows cannot be matched: "
        f"{GIVE_IDS}"
    )
