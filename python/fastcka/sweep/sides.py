"""``left`` and ``right``: pairs of one selection with another, a rectangle and not a triangle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastcka.errors import SweepError
from fastcka.sweep.labels import fits, required_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fastcka.sweep.config import SweepConfig
    from fastcka.sweep.labels import Allowed, Labels


@dataclass(frozen=True, slots=True)
class Sides:
    """What may stand on each side of a pair.

    They may overlap: pairs are unordered, so that one that fits both ways is still one pair. Which
    of the two is ``a`` in the results follows from the order of the store, not from the side.
    """

    left: Allowed
    right: Allowed

    @classmethod
    def of(cls, config: SweepConfig, stored: Sequence[Labels]) -> Sides | None:
        """Return the sides that ``config`` asks for, whose values must occur in the store."""
        compare = config.compare
        if compare.left is None or compare.right is None:
            return None
        return cls(
            required_values(compare.left, ("compare", "left"), stored, config),
            required_values(compare.right, ("compare", "right"), stored, config),
        )

    def holds(self, own: Labels) -> bool:
        """Tell whether a representation is on one of the sides, or on both."""
        return fits(own, self.left) or fits(own, self.right)

    def require_both(self, labels: Sequence[Labels]) -> None:
        """Refuse a side that none of ``labels`` is on."""
        for name, allowed in (("left", self.left), ("right", self.right)):
            if not any(fits(own, allowed) for own in labels):
                raise SweepError(
                    f"compare.{name}: no representation that takes part has these values (in "
                    "the store they occur, but select, exclude or compare.steps leave them out, "
                    "or no representation has them together)"
                )

    def across(self, members: Sequence[Labels], pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell of each pair of positions whether it has one side on the left, one on the right."""
        on_left = np.array([fits(own, self.left) for own in members])
        on_right = np.array([fits(own, self.right) for own in members])
        a, b = pairs[:, 0], pairs[:, 1]
        return np.asarray((on_left[a] & on_right[b]) | (on_right[a] & on_left[b]))
