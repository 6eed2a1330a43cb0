"""``left`` and ``right``: pairs between two selections, a rectangle instead of a triangle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastcka.errors import SweepError
from fastcka.sweep.question.labels import fits, required_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fastcka.sweep.question.config import SweepConfig
    from fastcka.sweep.question.labels import Allowed, Labels


@dataclass(frozen=True, slots=True)
class Sides:
    """The representations that each side of a pair allows.

    The sides may overlap. Pairs are unordered, so a pair that fits both ways is one pair. In the
    results, ``a`` is the representation that comes first in the store, on whichever side.
    """

    left: Allowed
    right: Allowed

    @classmethod
    def of(cls, config: SweepConfig, stored: Sequence[Labels]) -> Sides | None:
        """Return the sides of ``config``; their values must occur in the store."""
        compare = config.compare
        if compare.left is None or compare.right is None:
            return None
        return cls(
            required_values(compare.left, ("compare", "left"), stored, config),
            required_values(compare.right, ("compare", "right"), stored, config),
        )

    def allow(self, representation: Labels) -> bool:
        """Return whether a representation fits at least one side."""
        return fits(representation, self.left) or fits(representation, self.right)

    def require_both(self, labels: Sequence[Labels]) -> None:
        """Refuse a side that none of ``labels`` fits."""
        for name, allowed in (("left", self.left), ("right", self.right)):
            if not any(fits(representation, allowed) for representation in labels):
                raise SweepError(
                    f"compare.{name}: no selected representation has these values (they occur in "
                    "the store, but select, exclude or compare.steps leave them out, or no "
                    "representation has them together)"
                )

    def across(self, members: Sequence[Labels], pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return for each pair of positions whether one fits `left` and the other `right`."""
        on_left = np.array([fits(representation, self.left) for representation in members])
        on_right = np.array([fits(representation, self.right) for representation in members])
        a, b = pairs[:, 0], pairs[:, 1]
        return np.asarray((on_left[a] & on_right[b]) | (on_right[a] & on_left[b]))
