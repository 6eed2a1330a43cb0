"""The analysis of an experiment as a file, ``<experiment>_analysis.json``, schema version 1.

The file is strict JSON. An undefined number, such as the cosine of a zero tensor, is null, never
NaN. Readers must accept unknown keys. The meaning of a key changes only with ``schema_version``.

    format                "fastcka.evolution"
    schema_version        1
    fastcka               version that wrote the file
    experiment            name in the plan
    complete              whether every checkpoint could be used
    missing               [{"step", "phase" (null: none), "run" ("main", or "other": the run of
                          another seed), "reason"}]
    steps                 steps (completed updates) of the usable checkpoints, ascending
    phases                {phase: step} in the plan, ascending
    sources               {"checkpoints", "other" (absolute paths), "weights_key", "strip",
                          "model", "probe" (a digest)}; null if not given
    settings              {"permutations", "pool", "layers"}
    weights               {tensor: {
        shape                 shape in the checkpoint
        similarity            {"early_vs_mid": cosine of the flattened tensors, ...}
        relative_change       {same keys: |later - earlier| / |earlier|}
        filters               {same keys: [cosine of each filter (first axis), ...]}; for two
                              or more axes
        diversity             {phase: {"effective_rank", "participation_ratio", "silhouette"}}, each
                              with "value" and "null" (permuted weights: mean, low, high)
        verdict               [see below]}}
    weights_left_out      {tensor: reason}
    activations           {layer: {n_examples, n_features,
        cka, cka_biased       {same keys: CKA}
        steps, cka_by_step, cka_biased_by_step    matrices over all steps
        sparsity              {phase: {"zeros", "constant_features", "treves_rolls"}}
        undefined             {step: why its CKA is null}
        verdict               [see below]}}; {} without model and probe
    attention             {layer: {phase: {"entropy" (one per head), "entropy_of_uniform",
                          "specialization", "mean_map" (head, query, key)}}}
    notes                 [what the analysis lacks, and why]

There is one verdict for each phase between the first and the last:

    phases, steps         [early, mid, late]
    measure, interval     descriptions of the similarity, and of what was resampled
    similarity            {"early_vs_late", "mid_vs_late"}
    question              s(mid, late) - s(early, late): {"difference", "interval" (null: none),
                          "answer": "yes" (above zero) | "no" | "undecided" | "undefined"}
    baselines             {"time_matched", "step_0", "other_seed", "permuted"}, each {"available",
                          "why" (if not), ...}; see `fastcka.evolution.verdict`
    conclusion            one of the conclusions in `fastcka.evolution.answer`
    words                 the verdict in a few sentences
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, cast

from fastcka.errors import InputError
from fastcka.evolution.schema import Analysis
from fastcka.files import replaced_file

FORMAT = "fastcka.evolution"
SCHEMA_VERSION = 1
SUFFIX = "_analysis.json"


def analysis_path(folder: Path, experiment: str) -> Path:
    """Return the path of the analysis of an experiment."""
    return folder / f"{experiment}{SUFFIX}"


def write_analysis(folder: Path, content: Analysis) -> Path:
    """Write the analysis of one experiment; the file is complete or does not exist."""
    path = analysis_path(folder, content["experiment"])
    whole = {"format": FORMAT, "schema_version": SCHEMA_VERSION, **content}
    text = json.dumps(_strict(whole), indent=1, ensure_ascii=False, allow_nan=False)
    with replaced_file(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return path


def read_analysis(path: Path) -> Analysis:
    """Read the analysis of one experiment.

    Raises
    ------
    InputError
        If the file cannot be read, is not strict JSON, is not an analysis, or has another schema
        version.
    """
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as an analysis: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path} is not an analysis: the field format is not {FORMAT!r}")
    if content.get("schema_version") != SCHEMA_VERSION:
        raise InputError(
            f"{path}: schema_version: expected {SCHEMA_VERSION}, got "
            f"{content.get('schema_version')!r}; run `fastcka evolve` again"
        )
    return cast(Analysis, content)


def find_analyses(folder: Path) -> list[Path]:
    """Return the analyses in a folder, sorted by name."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _strict(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, float):  # includes numpy.float64
        return float(value) if math.isfinite(value) else None
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
