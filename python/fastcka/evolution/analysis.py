"""The file of an experiment's analysis: ``<experiment>_analysis.json``, schema version 1.

Strict JSON: what is undefined (the cosine of a tensor of zeros, say) is null, never NaN. Readers
must take unknown keys; a key's meaning changes only with ``schema_version``.

    format                "fastcka.evolution"
    schema_version        1
    fastcka               version that wrote the file
    experiment            name in the plan
    complete              whether every planned checkpoint was there and could be read
    missing               [{"step", "phase" (null: none), "run" ("own" or "other"), "reason"}]
    steps                 steps (completed updates) that were read, ascending
    phases                {phase: step} as planned, ascending
    sources               {"checkpoints", "other", "model", "probe"}: as given, or null
    settings              {"permutations", "pool"}
    weights               {tensor: {
        shape                 in the checkpoint
        similarity            {"early_vs_mid": cosine of the flattened tensors, ...}
        relative_change       {same keys: |later - earlier| / |earlier|}
        filters               {same keys: [cosine of each filter (first axis), ...]}; axes > 1
        diversity             {phase: {"effective_rank", "participation_ratio", "silhouette"}}, each
                              with "value" and "null" (permuted weights: mean, low, high)
        verdict               [see below]}}
    weights_left_out      {tensor: reason}
    activations           {layer: {n_examples, n_features,
        cka, cka_biased       {same keys: CKA}
        steps, cka_by_step, cka_biased_by_step    the matrices over all steps
        sparsity              {phase: {"zeros", "constant_features", "treves_rolls"}}
        undefined             {step: why its CKA is null}
        verdict               [see below]}}; {} without a model and a probe
    attention             {layer: {phase: {"entropy" (a head), "entropy_of_uniform",
                          "specialization", "mean_map" (head, query, key)}}}
    notes                 [what was not done, and why]

A verdict stands for each phase between the first and the last:

    phases, steps         [early, mid, late]
    measure, interval     in words: the similarity; what was resampled
    similarity            {"early_vs_late", "mid_vs_late"}
    question              s(mid, late) - s(early, late): {"difference", "interval" (null: none),
                          "answer": "yes" (above zero) | "no" | "undecided" | "undefined"}
    baselines             {"time_matched", "step_0", "other_seed", "permuted"}, each {"available",
                          "why" (if not), ...}; what they are: `fastcka.evolution.verdict`
    conclusion            a few fixed words
    words                 a sentence or three, which claim no more than the baselines carry
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from fastcka.errors import InputError
from fastcka.files import replaced_file

FORMAT = "fastcka.evolution"
SCHEMA_VERSION = 1
SUFFIX = "_analysis.json"


def write_analysis(folder: Path, content: dict[str, Any]) -> Path:
    """Write the file of one experiment; it stands there whole or not at all."""
    path = folder / f"{content['experiment']}{SUFFIX}"
    whole = {"format": FORMAT, "schema_version": SCHEMA_VERSION, **content}
    text = json.dumps(_strict(whole), indent=1, ensure_ascii=False, allow_nan=False)
    with replaced_file(path) as beside:
        beside.write_text(text + "\n", encoding="utf-8")
    return path


def read_analysis(path: Path) -> dict[str, Any]:
    """Read the file of one experiment.

    Raises
    ------
    InputError
        If it cannot be read, is not strict JSON, is no analysis, or of a newer schema.
    """
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as an analysis: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path}: is no analysis: its field format is not {FORMAT!r}")
    if content.get("schema_version") != SCHEMA_VERSION:
        raise InputError(
            f"{path}: schema_version: this fastcka reads {SCHEMA_VERSION}, got "
            f"{content.get('schema_version')!r}; run `fastcka evolve` again"
        )
    return content


def find_analyses(folder: Path) -> list[Path]:
    """Return the files of analyses in a folder, by name."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _strict(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, float):  # numpy.float64 is one as well
        return float(value) if math.isfinite(value) else None
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
