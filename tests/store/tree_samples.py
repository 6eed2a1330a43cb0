"""A checkpoint tree and the store that it is imported into."""

from __future__ import annotations

import json
from pathlib import Path


def reasons(report) -> list[tuple[str, str, int | None, str | None]]:
    return [
        (finding.kind, finding.reason, finding.step, finding.layer) for finding in report.findings
    ]


def rewrite(folder: Path, **changes: object) -> None:
    path = folder / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
