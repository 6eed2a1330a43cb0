"""From a tree of files to a store: what is there already is kept, what is wrong is said."""

from __future__ import annotations

import os
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastcka.errors import InputError
from fastcka.out_of_memory import named_shortage
from fastcka.store.file.jsontext import factor_difference
from fastcka.store.importing import sources
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
    from fastcka.store.importing.found import FoundStep, FoundTree


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

    Each step of a model becomes one file with all its layers; their rows are aligned by id to the
    first layer's order. A step that the store holds from the same files (by path, size and time) is
    not read again, so that an import that was stopped goes on where it was. A damaged file of the
    store stops nothing: it is said, and replaced where that is asked for.

    Parameters
    ----------
    tree
        The folder; see `fastcka.store.importing` for the two layouts.
    store
        The store's folder; made if it is not there.
    models
        A models.yaml with the factors of each model.
    allow_unlisted
        Import models that models.yaml does not list, without factors.
    only
        Of a checkpoint tree, the folders ``<prompt>_l<layer>`` to take, as a glob pattern.
    overwrite
        Replace steps that the store holds from other files, or from files that have changed since,
        and damaged ones.
    progress
        Called with the steps done and the steps in all.

    Returns
    -------
    ImportReport
        What was imported, and all that was skipped, doubtful or missing.

    Raises
    ------
    InputError
        If there is no such tree, it has neither layout, or it holds models that models.yaml
        does not list.
    ModelsFileError
        If models.yaml is not what it must be.
    StoreError
        If the store cannot be read or written. What was imported before stays.
    """
    start = time.perf_counter()
    root = Path(tree)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; expected a tree to import")
    listed = None if models is None else read_models(Path(models))
    found = find_checkpoint_tree(root, only=only) or find_array_folders(root)
    if not found.models:
        raise InputError(
            f"{root}: holds no <model>/analysis_higher/<prompt>_l<layer>/representations/"
            "checkpoint-<step>, and no <model>/<step>/<layer>.npy or <model>/<step>.npz either"
        )
    findings = list(found.findings)
    if listed is not None:
        unlisted = unlisted_models(found, listed)
        if unlisted and not allow_unlisted:
            raise InputError(
                f"{models}: {len(unlisted)} of the {len(found.models)} models in {root} are not "
                "listed; add them, or import them without factors by --allow-unlisted:\n"
                + "\n".join(finding.detail for finding in unlisted)
            )
        findings += unlisted
    with create_store(store, exist_ok=True) as opened:
        run = _Import(root, opened, listed or {}, findings, overwrite=overwrite)
        run.all_steps(found, progress)
        if listed is not None:
            findings += missing_models(found, listed, opened)
        findings += twins(found, opened)
        return ImportReport(
            tree=root,
            store=opened.path,
            layout=found.layout,
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

    def all_steps(self, found: FoundTree, progress: Callable[[int, int], None] | None) -> None:
        keys, self._unreadable = self._store.inventory()
        stored: dict[str, dict[int, Key]] = {}
        for key in keys:
            stored.setdefault(key.model, {}).setdefault(key.step, key)
        self._name_unreadable(found)
        changed = self._changed_factors(found, stored)
        waiting = [
            (step, marks)
            for step in found.steps
            if step.model not in changed
            and (marks := self._to_import(step, stored.get(step.model, ()))) is not None
        ]
        total = len(found.steps)
        done = total - len(waiting)
        if progress is not None:
            progress(done, total)
        with closing(prefetch(waiting, lambda item: assembled(item[0]))) as reading:
            for (step, marks), content in reading:
                if isinstance(content, AssembledStep):
                    self._write(step, marks, content)
                else:
                    self._findings += content
                done += 1
                if progress is not None:
                    progress(done, total)

    def _name_unreadable(self, found: FoundTree) -> None:
        """Say which files of the store, beside those that the tree is about, are damaged."""
        for file in self._unreadable:
            if not any(file.is_of(own.model) and file.step == own.step for own in found.steps):
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
        self, found: FoundTree, stored: Mapping[str, Mapping[int, Key]]
    ) -> set[str]:
        changed = set()
        for model in found.models.keys() & stored.keys():
            new = self._factors.get(model, {})
            difference = factor_difference(new, self._store.factors(model))
            if difference is None:
                continue
            changed.add(model)
            name, now, before = difference
            first = next(iter(stored[model].values()))
            detail = (
                f"factor {name!r} is {now} now, {before} in the store; remove "
                f"{self._store.info(first).path.parent} and import again"
            )
            self._findings.append(ImportFinding("skipped", "changed factors", detail, model))
        return changed

    def _to_import(self, found: FoundStep, stored: Container[int]) -> sources.Fingerprint | None:
        """Return the fingerprint of a step that is to be imported; None if it is not."""
        try:
            marks = sources.fingerprint(found)
        except OSError as error:
            self._skip(found, "unreadable file", f"{error.filename}: {error.strerror}")
            return None
        for file in self._unreadable:
            if file.is_of(found.model) and file.step == found.step and not self._overwrite:
                detail = f"{file.error} (--overwrite imports it again)"
                self._skip(found, "damaged in the store", detail)
                return None
        if found.step not in stored:
            return marks
        record = self._store.provenance(found.model, found.step)
        difference = sources.difference(record, marks)
        if difference is None:
            self.already_there.append((found.model, found.step))
            self._findings += sources.findings_of(record, found)
            return None
        if not self._overwrite:
            self._skip(
                found,
                "changed sources",
                f"{found.folder}: the step in the store {difference}; --overwrite replaces it",
            )
            return None
        return marks

    def _write(self, found: FoundStep, marks: sources.Fingerprint, content: AssembledStep) -> None:
        try:
            self._store.write(
                model=found.model,
                step=found.step,
                layers=content.layers,
                example_ids=None if content.table.positional_ids else content.table.ids,
                example_columns=content.table.columns,
                factors=self._factors.get(found.model, {}),
                provenance=sources.provenance(
                    self._tree, found, marks, content.findings, self._id_source(content.table)
                ),
                overwrite=self._overwrite,
            )
        except InputError as error:
            self._findings += content.findings
            self._skip(found, "refused by the store", f"{found.folder}: {error}")
            return
        self.imported.append((found.model, found.step))
        self.id_fields[content.table.id_field] += 1
        if not content.table.positional_ids:
            self.id_sources[self._id_source(content.table)] += 1
        self.layers_reordered += content.n_reordered
        self._findings += content.findings
        if _marks_or_none(found) != marks:
            detail = f"{found.folder}: files changed while they were read; import again"
            self._skip(found, "changed while read", detail)

    def _id_source(self, table: ExampleTable) -> str:
        """Return where ids were found, with paths below the tree."""
        return table.id_source.replace(f"{self._tree}{os.sep}", "")

    def _skip(self, found: FoundStep, reason: str, detail: str) -> None:
        self._findings.append(ImportFinding("skipped", reason, detail, found.model, found.step))


def _marks_or_none(found: FoundStep) -> sources.Fingerprint | None:
    try:
        return sources.fingerprint(found)
    except OSError:
        return None
