"""What an import did."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

    from fastcka.store.importing.finding import FindingKind, ImportFinding

MISSING: Final = "missing model"


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did, and what it did not.

    Attributes
    ----------
    tree, store
        Folders read and written.
    layout
        "checkpoint tree" or "folders of arrays".
    imported, already_there
        (model, step) of what was written, and of what the store held from the same files.
    findings
        All that was skipped, doubtful or missing, in the order of the tree.
    id_fields
        What the examples are named by ("id", "file_names", "position" ...) -> how many steps.
    id_sources
        Where ids were found ("'ids' in m/7.npz", "m/ids.txt") -> for how many steps.
    layers_reordered
        Layers whose rows were put into the order of their step's first layer, by id.
    seconds
        Time taken.
    """

    tree: Path
    store: Path
    layout: str
    imported: tuple[tuple[str, int], ...]
    already_there: tuple[tuple[str, int], ...]
    findings: tuple[ImportFinding, ...]
    id_fields: dict[str, int]
    id_sources: dict[str, int]
    layers_reordered: int
    seconds: float

    def of_kind(self, kind: FindingKind) -> tuple[ImportFinding, ...]:
        """Return the findings of one kind."""
        return tuple(finding for finding in self.findings if finding.kind == kind)

    @property
    def skipped(self) -> tuple[ImportFinding, ...]:
        """What stands in the tree and was not imported."""
        return self.of_kind("skipped")

    @property
    def doubtful(self) -> tuple[ImportFinding, ...]:
        """What is worth a look."""
        return self.of_kind("doubtful")

    @property
    def missing(self) -> tuple[ImportFinding, ...]:
        """Models of models.yaml that the tree does not hold."""
        return self.of_kind("missing")

    @property
    def counts(self) -> dict[tuple[FindingKind, str], int]:
        """Number of findings of each kind and reason."""
        return dict(Counter((finding.kind, finding.reason) for finding in self.findings))

    @property
    def complete(self) -> bool:
        """Whether all of the tree, and every model of models.yaml that should be, is in the store.

        Doubts do not count, nor does a missing model that models.yaml says has failed or been
        replaced, or that the store holds from elsewhere.
        """
        return not self.skipped and all(found.reason != MISSING for found in self.missing)

    def to_dict(self) -> dict[str, Any]:
        """Return the report in JSON's types."""
        return {
            "tree": str(self.tree),
            "store": str(self.store),
            "layout": self.layout,
            "complete": self.complete,
            "imported": [{"model": model, "step": step} for model, step in self.imported],
            "already_there": [{"model": model, "step": step} for model, step in self.already_there],
            "counts": [
                {"kind": kind, "reason": reason, "count": count}
                for (kind, reason), count in self.counts.items()
            ],
            "findings": [finding.to_dict() for finding in self.findings],
            "id_fields": self.id_fields,
            "id_sources": self.id_sources,
            "layers_reordered": self.layers_reordered,
            "seconds": self.seconds,
        }
