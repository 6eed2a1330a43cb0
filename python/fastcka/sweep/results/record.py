"""``run.json``: the record of a run, with its versions, counts, digests and timings."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcka.core.backend import version
from fastcka.files import replaced_file
from fastcka.sweep.planning.folder import RESULTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fastcka.sweep.planning.plan import SweepPlan
    from fastcka.sweep.results.exports import Exports

FORMAT = "fastcka.run/1"


def run_record(
    plan: SweepPlan,
    exports: Exports,
    seconds: Mapping[int, float],
    failed: Mapping[int, str],
    notes: Sequence[str],
    started: datetime,
    timings: Mapping[str, float],
) -> dict[str, Any]:
    """Return the record of a run.

    ``seconds`` maps the positions of the groups that this run computed to their times, and
    ``failed`` maps the positions of failed groups to the reasons. Earlier runs computed all other
    groups.
    """
    groups = [
        {
            **plan.groups[at].to_dict(),
            "identity": files.identity,
            "examples_digest": plan.groups[at].examples.digest,
            "status": "computed" if at in seconds else "reused",
            "seconds": seconds.get(at),
            "provenance": files.provenance,
            "undefined": files.undefined,
            "matrix": files.matrix,
            "figure": files.figure,
            "fingerprint": files.fingerprint,
            "keys": [[*r.key, r.digest] for r in plan.groups[at].representations],
        }
        for at, files in exports.groups.items()
    ]
    planned = plan.to_dict()
    del planned["group_plans"]
    return {
        "format": FORMAT,
        "config": plan.config.model_dump(mode="json"),
        "plan": planned,
        "groups_computed": len(seconds),
        "groups_reused": len(plan.groups) - len(seconds) - len(failed),
        "failed": failures(plan, failed),
        "undefined": sum(files.undefined for files in exports.groups.values()),
        "notes": list(notes),
        "figures_left_out": exports.figures_left_out,
        "results": {
            "file": RESULTS,
            "blake2b": exports.results_digest,
            "parquet": exports.parquet,
        },
        "versions": {
            "fastcka": version,
            "numpy": np.__version__,
            "h5py": importlib.metadata.version("h5py"),
            "python": platform.python_version(),
        },
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "timings": dict(timings),
        "groups": groups,
    }


def failures(plan: SweepPlan, failed: Mapping[int, str]) -> dict[str, str]:
    """Return the name of each failed group -> the reason."""
    # The number 1 and the text "1" give two groups the same name.
    named = Counter(group.name for group in plan.groups)
    groups = [(plan.groups[position], reason) for position, reason in failed.items()]
    return {
        group.name if named[group.name] == 1 else f"{group.name} (group {group.position})": reason
        for group, reason in groups
    }


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write ``record`` as JSON, atomically."""
    with replaced_file(path) as temporary:
        temporary.write_text(
            json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )


def read_record(path: Path) -> Any:
    """Return the record of an earlier run; None if it is missing or unreadable."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def replaced_comparisons(record: Any, plan: SweepPlan) -> int | None:
    """Return the number of comparisons if ``record`` is of *another* sweep; otherwise None."""
    try:
        if _question(record["config"]) == _question(plan.config.model_dump(mode="json")):
            return None
        return int(record["plan"]["comparisons"])
    except (KeyError, TypeError, ValueError):
        return None


def _question(config: Mapping[str, Any]) -> list[Any]:
    """Return the fields that decide the rows of a table, with the store relative to the output."""
    return [
        os.path.relpath(config["store"], config["output"]),
        *(
            config.get(name)
            for name in (
                "select",
                "exclude",
                "examples",
                "compare",
                "estimator",
                "precision",
                "inference",
                "measures",
            )
        ),
    ]


def files_before(record: Any) -> dict[str, str]:
    """Return file -> fingerprint of the matrices and figures of an earlier run.

    If a record is not valid, the result is empty and all files are written again.
    """
    try:
        return {
            name: group["fingerprint"]
            for group in record["groups"]
            for name in (group["matrix"], group["figure"])
            if name is not None
        }
    except (KeyError, TypeError):
        return {}
