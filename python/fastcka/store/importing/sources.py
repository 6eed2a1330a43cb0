"""What a step in the store was made of, so that a second import knows whether that has changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastcka.store.importing.checkpoint_tree import ANALYSES, layer_of
from fastcka.store.importing.finding import ImportFinding

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastcka.store.importing.found import FoundStep

_FIELD: Final = "import"
_KEPT: Final = ("kind", "reason", "detail", "layer")

Fingerprint = dict[str, list[int]]
"""File, relative to the model's folder -> [size in bytes, mtime in nanoseconds]."""


def fingerprint(found: FoundStep) -> Fingerprint:
    """Return the sizes and times of a step's files.

    Raises
    ------
    OSError
        If one has gone.
    """
    marks: Fingerprint = {}
    for path in found.files:
        status = path.stat()
        # examples.json may stand above the model's folder.
        marks[os.path.relpath(path, found.folder)] = [status.st_size, status.st_mtime_ns]
    return marks


def provenance(
    tree: Path,
    found: FoundStep,
    marks: Fingerprint,
    findings: Sequence[ImportFinding],
    id_source: str,
) -> dict[str, Any]:
    """Return what is written beside a step's representations."""
    return {
        _FIELD: {
            "tree": str(tree.resolve()),
            "folder": str(found.folder.relative_to(tree)),
            "files": marks,
            "ids": id_source or None,
            # Said again by each later import: what was left out must not be forgotten.
            "findings": [
                {name: value for name, value in found_.to_dict().items() if name in _KEPT}
                for found_ in findings
            ],
        }
    }


def difference(provenance: Mapping[str, Any], marks: Fingerprint) -> str | None:
    """Return how a step's files differ from those that the store's step was made of, or None."""
    record = provenance.get(_FIELD)
    if not isinstance(record, dict) or not isinstance(record.get("files"), dict):
        return "was not written by an import"
    old = record["files"]
    changes = {
        "are new": marks.keys() - old.keys(),
        "have gone": old.keys() - marks.keys(),
        "have changed": {name for name in marks.keys() & old.keys() if marks[name] != old[name]},
    }
    said = [f"{', '.join(sorted(names)[:3])} {what}" for what, names in changes.items() if names]
    return f"was made of other files: {'; '.join(said)}" if said else None


def representations_folder(provenance: Mapping[str, Any], layer: str) -> Path | None:
    """Return the folder of ``checkpoint-<step>`` that a step's layer was imported from.

    None where it came from elsewhere, or the folder has gone.
    """
    record = provenance.get(_FIELD)
    if not isinstance(record, dict) or not isinstance(record.get("files"), dict):
        return None
    for name in record["files"]:
        parts = Path(name).parts
        if parts[0] == ANALYSES and len(parts) > 2 and str(layer_of(parts[1])) == layer:
            folder = Path(record["tree"], record["folder"], *parts[:3])
            return folder if folder.is_dir() else None
    return None


def findings_of(provenance: Mapping[str, Any], found: FoundStep) -> list[ImportFinding]:
    """Return what the import that wrote a step had to say of it."""
    return [
        ImportFinding(model=found.model, step=found.step, **kept)
        for kept in provenance[_FIELD]["findings"]
    ]
