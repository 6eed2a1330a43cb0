"""What an import says of a thing that it did not import, or imported with a doubt."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

FindingKind = Literal["skipped", "doubtful", "missing"]


@dataclass(frozen=True, slots=True)
class ImportFinding:
    """One thing that a person should know of.

    Attributes
    ----------
    kind
        "skipped": in the tree, but not imported. "doubtful": worth a look; what could be imported
        was. "missing": a model of models.yaml that the tree does not hold.
    reason
        A few words, the same for all findings of a sort, to count them by.
    detail
        What exactly was found, with the remedy where there is one.
    model, step, layer
        What it is about, as far as that is known.
    """

    kind: FindingKind
    reason: str
    detail: str
    model: str | None = None
    step: int | None = None
    layer: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that are known, for JSON."""
        return {name: value for name, value in asdict(self).items() if value is not None}
