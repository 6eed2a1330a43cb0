"""Comparing the models in a tree with models.yaml, and with each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastcka.near_misses import near_misses
from fastcka.store.importing.finding import ImportFinding
from fastcka.store.importing.models_file import may_be_missing
from fastcka.store.importing.report import MISSING
from fastcka.store.twins import twin_models, twin_steps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastcka.store.importing.tree import TreeContents
    from fastcka.store.store import Store

_STATUS: Final = ("status", "replaced_by", "note")


def unlisted_models(
    tree: TreeContents, listed: Mapping[str, Mapping[str, Any]]
) -> list[ImportFinding]:
    """Return the models in the tree that models.yaml does not list."""
    return [
        ImportFinding(
            "doubtful",
            "not in models.yaml",
            f"{model} ({folder}): not listed{near_misses(model, list(listed))}",
            model,
        )
        for model, folder in tree.models.items()
        if model not in listed
    ]


def missing_models(
    tree: TreeContents, listed: Mapping[str, Mapping[str, Any]], store: Store
) -> list[ImportFinding]:
    """Return the models of models.yaml that are not in the tree, with their status.

    A model that is in the tree although models.yaml marks it as failed or replaced is doubtful.
    """
    stored = {key.model for key in store.inventory()[0]}
    findings = []
    for model, factors in listed.items():
        status = [f"{name}: {factors[name]}" for name in _STATUS if factors.get(name) is not None]
        detail = "; ".join([f"{model}: not in the tree", *status])
        if model in tree.models:
            if may_be_missing(factors):
                detail = "; ".join([f"{model}: in the tree", *status])
                findings.append(ImportFinding("doubtful", "listed as missing", detail, model))
        elif may_be_missing(factors):
            findings.append(ImportFinding("missing", "missing, as listed", detail, model))
        elif model in stored:
            findings.append(ImportFinding("missing", "in the store already", detail, model))
        else:
            findings.append(ImportFinding("missing", MISSING, detail, model))
    return findings


def twins(tree: TreeContents, store: Store) -> list[ImportFinding]:
    """Return the models in the tree, and steps of one model, with equal values in all layers."""
    return [
        ImportFinding(
            "doubtful",
            "same model under two names",
            str(equal),
            equal.models[0],
        )
        for equal in twin_models(store, tree.models)
    ] + [
        ImportFinding("doubtful", "same values at two steps", str(twins), twins.model)
        for twins in twin_steps(store, ((step.model, step.step) for step in tree.steps))
    ]
