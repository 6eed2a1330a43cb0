"""Why comparisons of a group have no value: the column ``undefined`` of the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcka.core.measures.compute import undefined_members

if TYPE_CHECKING:
    from fastcka.core import Comparison


class UndefinedValues:
    """The reasons why values of a group are NaN."""

    def __init__(self, comparison: Comparison) -> None:
        self._of_cka = comparison.undefined
        self._of_measures: dict[int, dict[str, list[str]]] = {}  # position -> reason -> measures
        for name in comparison.measures:
            facts = comparison.provenance["measures"][name]
            for position, reason in undefined_members(facts).items():
                self._of_measures.setdefault(position, {}).setdefault(reason, []).append(name)

    def why(self, a: int, b: int) -> str:
        """Return why values of the comparison of two representations are NaN; "" if none is.

        The text is "a: REASON; b: REASON" for CKA. The other measures follow with their names:
        "rbf_cka, procrustes of a: REASON".
        """
        sides = {"a": a, "b": b}
        texts = [f"{side}: {self._of_cka[i]}" for side, i in sides.items() if i in self._of_cka]
        for side, position in sides.items():
            for reason, names in self._of_measures.get(position, {}).items():
                texts.append(f"{', '.join(names)} of {side}: {reason}")
        return "; ".join(texts)
