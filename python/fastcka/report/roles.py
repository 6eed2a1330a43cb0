"""Which factor is the variant, the seed and the family of a sweep."""

from __future__ import annotations

from dataclasses import dataclass

from fastcka.stats import PairTable
from fastcka.sweep.labels import KEY_FIELDS


@dataclass(frozen=True, slots=True)
class Roles:
    """The factors that play the parts; None where there is none.

    Attributes
    ----------
    variant
        What is meant to differ: the task, say.
    seed
        Repeats of one variant.
    family
        What the trend goes over; models of two families are not averaged together.
    """

    variant: str | None
    seed: str | None
    family: str | None

    @property
    def nesting(self) -> tuple[str, ...]:
        """The fields that a matrix is sorted by, the slowest first."""
        return tuple(name for name in (self.family, self.variant, self.seed) if name is not None)


def find_roles(
    table: PairTable,
    *,
    variant: str | None = None,
    seed: str | None = None,
    family: str | None = None,
) -> Roles:
    """Return the fields that were named, else the factors called variant, seed and family.

    Raises
    ------
    InputError
        A field that was named is not in the table.
    """
    factors = [name for name in table.fields if name not in KEY_FIELDS]
    found: dict[str, str | None] = {}
    for role, name in (("variant", variant), ("seed", seed), ("family", family)):
        if name is not None:
            table.require(name)
            found[role] = name
        else:
            # A factor that plays another part is not free for this one.
            taken = role in (variant, seed, family)
            found[role] = role if role in factors and not taken else None
    return Roles(**found)


def missing_role(role: str, table: PairTable) -> str:
    """Return why a view that needs ``role`` cannot be drawn."""
    factors = [name for name in table.fields if name not in KEY_FIELDS]
    there = f"there are: {', '.join(factors)}" if factors else "the models have no factors"
    return f"no factor is named '{role}'; name one with --{role} FIELD ({there})"
