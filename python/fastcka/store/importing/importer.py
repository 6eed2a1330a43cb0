"""Importing a tree of files into a store. Earlier imports are kept, and problems are reported."""

from __future__ import annotations

import os
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastcka.errors import InputError
from fastcka.out_of_memory import named_shortage
from fastcka.paths import given_path
from fastcka.store.file.jsontext import factor_difference
from fastcka.store.foreign.arrays import ARRAY_SUFFIXES
from fastcka.store.importing import provenance
from fastcka.store.importing.accounting import missing_models, twins, unlisted_models
from fastcka.store.importing.array_folders import find_array_folders
from fastcka.store.importing.assembly import AssembledStep, assembled
from fastcka.store.importing.checkpoint_tree import find_checkpoint_tree
from fastcka.store.importing.finding import ImportFinding
from fastcka.store.importing.models_file import read_models
from fastcka.store.importing.report import ImportReport
from fastcka.store.prefetch import prefetch
from fastcka.store.store import Store, create_store

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

    from fastcka.store.file.key import Key
    from fastcka.store.headers import UnreadableFile
    from fastcka.store.importing.example_table import ExampleTable
    from fastcka.store.importing.tree import TreeContents, TreeStep


@named_shortage("importing")
def import_tree(
    tree: str | os.PathLike[str],
    store: str | os.PathLike[str],
    *,
    models: str | os.PathLike[str] | None = None,
    allow_unlisted: bool = False,
    only: str = "*",
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ImportReport:
    """Import a tree of checkpoints, or folders of arrays, into a store.

    Each step of a model becomes one file with all its layers. The rows of all layers are aligned by
    id to the first layer's order. A step that the store contains from the same files (equal path,
    size and time) is not read again, so a second import resumes an interrupted one. A damaged file
    in the store does not stop the import: it is reported, and replaced with ``overwrite``.

    Parameters
    ----------
    tree
        The folder; see `fastcka.store.importing` for the two layouts.
    store
        The store's folder; created if it does not exist.
    models
        A models.yaml with the factors of each model.
    allow_unlisted
        Import models that models.yaml does not list, without factors.
    only
        A glob pattern for the folders ``<prompt>_l<layer>`` of a checkpoint tree to import.
    overwrite
        Replace steps that the store contains from other files or from files that have changed, and
        damaged files.
    progress
        Called with the number of steps done and the number of all steps.

    Returns
    -------
    ImportReport
        What was imported, and everything that was skipped, doubtful or missing.

    Raises
    ------
    InputError
        If the tree does not exist, has neither layout, or contains models that models.yaml does
        not list.
    ModelsFileError
        If models.yaml is invalid.
    StoreError
        If the store cannot be read or written. Steps imported before the error stay in the store.
    """
    start = time.perf_counter()
    root = given_path(tree, "tree")
    if not os.path.isdir(root):  # which, unlike Path.is_dir, raises nothing
        problem = "a file" if os.path.isfile(root) else "no such folder"
        raise InputError(f"{root}: {problem}; expected the folder of a tree to import")
    listed = None if models is None else read_models(given_path(models, "models"))
    contents = find_checkpoint_tree(root, only=only) or find_array_folders(root)
    if not contents.models:
        raise InputError(
            f"{root}: expected folders <model>/analysis_higher/<prompt>_l<layer>/representations/"
            "checkpoint-<step>, or files <model>/<step>/<layer>.npy or <model>/<step>.npz (or one "
            f"of {', '.join(ARRAY_SUFFIXES)}); found none of them"
        )
    findings = list(contents.findings)
    if listed is not None:
        unlisted = unlisted_models(contents, listed)
        if unlisted and not allow_unlisted:
            raise InputError(
                f"{models}: {len(unlisted)} of the {len(contents.models)} models in {root} are not "
                "listed; add them, or import them without factors with --allow-unlisted:\n"
                + "\n".join(finding.detail for finding in unlisted)
            )
        findings += unlisted
    with create_store(store, exist_ok=True) as opened:
        run = _Import(root, opened, listed or {}, findings, overwrite=overwrite)
        run.all_steps(contents, progress)
        if listed is not None:
            findings += missing_models(contents, listed, opened)
        findings += twins(contents, opened)
        return ImportReport(
            tree=root,
            store=opened.path,
            layout=contents.layout,
            imported=tuple(run.imported),
            already_there=tuple(run.already_there),
            findings=tuple(findings),
            id_fields=dict(run.id_fields),
            id_sources=dict(run.id_sources),
            layers_reordered=run.layers_reordered,
            seconds=time.perf_counter() - start,
        )


class _Import:
    """One run over the steps of a tree."""

    def __init__(
        self,
        tree: Path,
        store: Store,
        factors: Mapping[str, Mapping[str, Any]],
        findings: list[ImportFinding],
        *,
        overwrite: bool,
    ) -> None:
        self._tree = tree
        self._store = store
        self._factors = factors
        self._findings = findings
        self._overwrite = overwrite
        self.imported: list[tuple[str, int]] = []
        self.already_there: list[tuple[str, int]] = []
        self.id_fields: Counter[str] = Counter()
        self.id_sources: Counter[str] = Counter()
        self.layers_reordered = 0
        self._unreadable: list[UnreadableFile] = []

    def all_steps(
        self, contents: TreeContents, progress: Callable[[int, int], None] | None
    ) -> None:
        keys, self._unreadable = self._store.inventory()
        stored: dict[str, dict[int, Key]] = {}
        for key in keys:
            stored.setdefault(key.model, {}).setdefault(key.step, key)
        self._report_unreadable(contents)
        changed = self._changed_factors(contents, stored)
        waiting = [
            (step, marks)
            for step in contents.steps
            if step.model not in changed
            and (marks := self._to_import(step, stored.get(step.model, ()))) is not None
        ]
        total = len(contents.steps)
        done = total - len(waiting)
        if progress is not None:
            progress(done, total)
        with closing(prefetch(waiting, lambda item: assembled(item[0]))) as reading:
            for (step, marks), assembly in reading:
                if isinstance(assembly, AssembledStep):
                    self._write(step, marks, assembly)
                else:
                    self._findings += assembly
                done += 1
                if progress is not None:
                    progress(done, total)

    def _report_unreadable(self, contents: TreeContents) -> None:
        """Report the damaged files of the store whose steps are not in the tree."""
        for file in self._unreadable:
            if not any(
                file.is_of(step.model) and file.step == step.step for step in contents.steps
            ):
                self._findings.append(
                    ImportFinding(
                        "doubtful",
                        "damaged file in the store",
                        str(file.error),
                        file.model,
                        file.step,
                    )
                )

    def _changed_factors(
        self, contents: TreeContents, stored: Mapping[str, Mapping[int, Key]]
    ) -> set[str]:
        changed = set()
        for model in contents.models.keys() & stored.keys():
            new = self._factors.get(model, {})
            difference = factor_difference(new, self._store.factors(model))
            if difference is None:
                continue
            changed.add(model)
            name, now, before = difference
            first = next(iter(stored[model].values()))
            detail = (
                f"factor {name!r} is {now} in models.yaml and {before} in the store; to change it, "
                f"remove {self._store.info(first).path.parent} and import again"
            )
            self._findings.append(ImportFinding("skipped", "changed factors", detail, model))
        return changed

    def _to_import(self, step: TreeStep, stored: Container[int]) -> provenance.Fingerprint | None:
        """Return the fingerprint of a step that must be imported; None for any other step."""
        try:
            marks = provenance.fingerprint(step)
        except OSError as error:
            self._skip(step, "unreadable file", f"{error.filename}: {error.strerror}")
            return None
        for file in self._unreadable:
            if file.is_of(step.model) and file.step == step.step and not self._overwrite:
                detail = f"{file.error} (--overwrite imports it again)"
                self._skip(step, "damaged in the store", detail)
                return None
        if step.step not in stored:
            return marks
        record = self._store.provenance(step.model, step.step)
        difference = provenance.difference(record, marks)
        if difference is None:
            self.already_there.append((step.model, step.step))
            self._findings += provenance.findings(record, step)
            return None
        if not self._overwrite:
            self._skip(
                step,
                "changed files",
                f"{step.folder}: the step in the store {difference}; --overwrite replaces it",
            )
            return None
        return marks

    def _write(
        self, step: TreeStep, marks: provenance.Fingerprint, assembly: AssembledStep
    ) -> None:
        table = assembly.table
        try:
            self._store.write(
                model=step.model,
                step=step.step,
                layers=assembly.layers,
                example_ids=None if table.positional_ids else table.ids,
                example_columns=table.columns,
                factors=self._factors.get(step.model, {}),
                provenance=provenance.record(
                    self._tree, step, marks, assembly.findings, self._id_source(table)
                ),
                overwrite=self._overwrite,
            )
        except InputError as error:
            self._findings += assembly.findings
            self._skip(step, "refused by the store", f"{step.folder}: {error}")
            return
        self.imported.append((step.model, step.step))
        self.id_fields[table.id_field] += 1
        if not table.positional_ids:
            self.id_sources[self._id_source(table)] += 1
        self.layers_reordered += assembly.n_reordered
        self._findings += assembly.findings
        if _marks_or_none(step) != marks:
            detail = f"{step.folder}: files changed while they were read; import again"
            self._skip(step, "changed while read", detail)

    def _id_source(self, table: ExampleTable) -> str:
        """Return the file and field that contained the ids, with paths relative to the tree."""
        return table.id_source.replace(f"{self._tree}{os.sep}", "")

    def _skip(self, step: TreeStep, reason: str, detail: str) -> None:
        self._findings.append(ImportFinding("skipped", reason, detail, step.model, step.step))


def _marks_or_none(step: TreeStep) -> provenance.Fingerprint | None:
    try:
        return provenance.fingerprint(step)
    except OSError:
        return None
