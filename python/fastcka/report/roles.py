"""The roles of factors: which one is the variant, the seed and the family."""

from __future__ import annotations

from dataclasses import dataclass

from fastcka.report.items import NotDrawn
from fastcka.stats import PairTable
from fastcka.sweep.question.labels import KEY_FIELDS


@dataclass(frozen=True, slots=True)
class Roles:
    """The factors with the three roles; None if no factor has a role.

    Attributes
    ----------
    variant
        The experimental condition, such as the task.
    seed
        Distinguishes repeated runs of one variant.
    family
        The x axis of the trend figures. Models of two families are never averaged together.
    """

    variant: str | None
    seed: str | None
    family: str | None

    @property
    def nesting(self) -> tuple[str, ...]:
        """The fields by which a matrix is sorted, the most significant first."""
        return tuple(name for name in (self.family, self.variant, self.seed) if name is not None)


def find_roles(
    table: PairTable,
    *,
    variant: str | None = None,
    seed: str | None = None,
    family: str | None = None,
) -> Roles:
    """Return the fields you named; by default the factors called variant, seed and family.

    Raises
    ------
    InputError
        The table lacks a field you named.
    """
    factors = [name for name in table.fields if name not in KEY_FIELDS]
    roles: dict[str, str | None] = {}
    for role, name in (("variant", variant), ("seed", seed), ("family", family)):
        if name is not None:
            table.require(name)
            roles[role] = name
        else:
            # A factor that you gave another role does not get this role by its name.
            taken = role in (variant, seed, family)
            roles[role] = role if role in factors and not taken else None
    return Roles(**roles)


_PLURALS = {"variant": "variants", "seed": "seeds", "family": "families"}


def missing_role(what: str, role: str, roles: Roles, table: PairTable) -> NotDrawn:
    """Return that a view needs ``role``, which does not apply if no factor is left to have it."""
    free = [name for name in table.fields if name not in (*KEY_FIELDS, *roles.nesting)]
    if not free:
        return NotDrawn(what, f"the models have no factor '{role}'", applies=False)
    return NotDrawn(
        what,
        f"needs the factor that distinguishes {_PLURALS[role]}: choose it with --{role} FIELD "
        f"({', '.join(free)})",
    )
