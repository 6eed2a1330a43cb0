"""What is inferred about similarities in addition to their values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from fastcka.errors import InputError

Alternative = Literal["two-sided", "greater"]
ALTERNATIVES: tuple[str, ...] = get_args(Alternative)


@dataclass(frozen=True, slots=True)
class Inference:
    """The options of p-values, intervals and calibrated similarities.

    Attributes
    ----------
    alternative
        "two-sided": the p-value is the probability, for permuted examples, of a similarity that is
        at least as far from chance level as the observed one, on either side. "greater": of one
        that is at least as large.
    level
        Level of the intervals, between 0 and 1. The calibrated similarity is zero up to this
        quantile of the null distribution.
    folds
        Number of folds of the jackknife, which leaves out one at a time: at least 5, or 0 for no
        intervals.
    blocks
        (n_examples,) labels. The jackknife leaves out examples with equal labels together, because
        they depend on each other: tokens of one text, frames of one film; at least 5 different
        labels. p-values and chance levels ignore them: see `fastcka.permutation_test`. In a sweep:
        the name of an example column. None: the examples are independent.

    Raises
    ------
    InputError
        An option has a value that is not allowed.
    """

    alternative: Alternative = "two-sided"
    level: float = 0.95
    folds: int = 20
    blocks: Any = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.alternative not in ALTERNATIVES:
            raise InputError(
                f"alternative: expected one of {', '.join(ALTERNATIVES)}; got {self.alternative!r}"
            )
        if (
            isinstance(self.level, bool)
            or not isinstance(self.level, int | float)
            or not 0 < self.level < 1
        ):
            raise InputError(f"level: expected a number between 0 and 1, got {self.level!r}")
        if (
            isinstance(self.folds, bool)
            or not isinstance(self.folds, int)
            or (self.folds < 5 and self.folds != 0)
        ):
            raise InputError(f"folds: expected 0 or an integer of at least 5, got {self.folds!r}")
        if self.folds == 0 and self.blocks is not None:
            raise InputError("blocks: they are folds of the jackknife, and folds=0 leaves it out")

    def __str__(self) -> str:
        intervals = f"intervals ({self.folds} folds)" if self.folds else "no intervals"
        return (
            f"p-values ({self.alternative}) and calibrated similarities at level {self.level:g}, "
            f"{intervals}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the options for JSON, with `blocks` only if it is the name of a column."""
        values = {name: getattr(self, name) for name in ("alternative", "level", "folds")}
        return {**values, "blocks": self.blocks} if isinstance(self.blocks, str) else values


def parse_inference(value: object) -> Inference | None:
    """Return the options for the argument ``inference``: True, False, None or options.

    Raises
    ------
    InputError
        The value is none of these.
    """
    if value is None or value is False:
        return None
    if value is True:
        return Inference()
    if isinstance(value, Inference):
        return value
    raise InputError(f"inference: expected True, False or fastcka.Inference(...); got {value!r}")
