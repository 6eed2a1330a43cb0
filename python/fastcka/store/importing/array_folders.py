"""The layout of plain folders: arrays of any format that `read_array` reads.

::

    TREE/.../<model>/<step>/<layer>.npy     one array in a file, also .npz .pt .safetensors .h5 .mat
    TREE/.../<model>/<step>.npz             a layer for each array, also .pt .safetensors .h5 .mat

``<step>`` is a number, with ``checkpoint-`` or ``step_`` before it or not. ``examples.json`` (a
list of objects) or ``examples.csv`` beside the arrays, or in a folder above them, gives the rows
an ``id`` and columns. Hidden folders, and stores, are not looked into.
"""

from __future__ import annotations

import csv
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastcka.errors import ImportRefusedError, InputError, StoreError
from fastcka.store.foreign import (
    ARRAY_SUFFIXES,
    array_names,
    member_has_matlab_axes,
    read_member,
)
from fastcka.store.format import MARKER
from fastcka.store.importing.example_table import ExampleTable, example_table, positions
from fastcka.store.importing.finding import ImportFinding
from fastcka.store.importing.found import FoundLayer, FoundStep, FoundTree, unique_names
from fastcka.store.importing.jsonfile import MAX_BYTES, UNREADABLE, read_json
from fastcka.store.importing.walk import walk

if TYPE_CHECKING:
    from collections.abc import Iterable

LAYOUT: Final = "folders of arrays"
EXAMPLES: Final = ("examples.json", "examples.csv")

_STEP: Final = re.compile(r"((checkpoint|step)[-_])?(?P<step>\d{1,18})")
_ARRAYS: Final = set(ARRAY_SUFFIXES)


class _ExampleFiles:
    """Files of examples; the one read last is remembered, as all steps of a tree may share it."""

    def __init__(self) -> None:
        self._last: tuple[Path, ExampleTable] | None = None

    def table(self, paths: list[Path]) -> ExampleTable | None:
        """Return the table of the one file among ``paths``; None if there is none."""
        if not paths:
            return None
        if len(paths) > 1:
            raise ImportRefusedError(
                "two files of examples",
                f"{paths[0].parent}: holds {' and '.join(EXAMPLES)}; keep one",
            )
        path = paths[0]
        if self._last is None or self._last[0] != path:
            rows = read_json(path) if path.suffix == ".json" else _read_csv(path)
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise ImportRefusedError(UNREADABLE, f"{path}: expected a list of objects")
            try:
                self._last = path, example_table(rows, ("id",))
            except ImportRefusedError as error:
                raise ImportRefusedError(error.reason, f"{path}: {error}") from None
        return self._last[1]


def find_array_folders(root: Path) -> FoundTree:
    """Return the models and steps below a folder."""
    findings: list[ImportFinding] = []
    sources: dict[Path, dict[int, list[Path]]] = {}  # model's folder -> step -> folders or files
    for folder, inner, names in walk(root, findings):
        if MARKER in names:
            inner.clear()
            continue
        arrays = [folder / name for name in names if Path(name).suffix.lower() in _ARRAYS]
        step = _step(folder.name)
        if step is not None and folder != root and arrays:
            sources.setdefault(folder.parent, {}).setdefault(step, []).append(folder)
            continue
        for array in arrays:
            step = _step(array.stem)
            if step is None or array.suffix.lower() == ".npy":
                detail = f"{array}: neither <model>/<step>/<layer>.npy nor <model>/<step>.npz"
                findings.append(ImportFinding("skipped", "array outside the layout", detail))
            else:
                sources.setdefault(folder, {}).setdefault(step, []).append(array)
    models = unique_names(sorted(sources), root)
    examples = _ExampleFiles()
    steps = []
    for model, folder in models.items():
        for step, found in sorted(sources[folder].items()):
            if len(found) > 1:
                detail = f"{folder}: {', '.join(path.name for path in found)}"
                reason = "two sources for one step"
                findings.append(ImportFinding("skipped", reason, detail, model, step))
                continue
            steps.append(_found_step(root, model, step, found[0], examples))
    return FoundTree(LAYOUT, models, steps, findings)


def _step(name: str) -> int | None:
    match = _STEP.fullmatch(name)
    return None if match is None else int(match["step"])


def _found_step(
    root: Path, model: str, step: int, source: Path, tables: _ExampleFiles
) -> FoundStep:
    if source.is_dir():
        files = sorted(
            (path for path in source.iterdir() if path.suffix.lower() in _ARRAYS), key=_natural
        )
        beside = source
    else:
        files, beside = [source], source.parent
    above = [folder for folder in (beside, *beside.parents) if folder.is_relative_to(root)]
    candidates = ([folder / name for name in EXAMPLES] for folder in above)
    present = ([path for path in paths if path.is_file()] for paths in candidates)
    examples = next((paths for paths in present if paths), [])
    read = partial(_read, model, step, source, files, examples, tables)
    return FoundStep(
        model,
        step,
        source.parent,
        (*files, *examples),
        read,
    )


def _natural(path: Path) -> list[tuple[str, int]]:
    """Sort key by which layer2 comes before layer10."""
    return _natural_name(path.name)


def _natural_name(name: str) -> list[tuple[str, int]]:
    return [(text, int(number or 0)) for text, number in re.findall(r"(\D*)(\d*)", name)]


def _read(
    model: str,
    step: int,
    source: Path,
    files: list[Path],
    examples: list[Path],
    tables: _ExampleFiles,
    findings: list[ImportFinding],
) -> list[FoundLayer]:
    def skip(error: ImportRefusedError, layer: str | None) -> None:
        findings.append(ImportFinding("skipped", error.reason, str(error), model, step, layer))

    try:
        table = tables.table(examples)
        members = _members(source, files)
    except ImportRefusedError as error:
        skip(error, None)
        return []
    found = []
    for name, path, member in members:
        try:
            values = _array(path, member)
            if table is not None and len(table.ids) != len(values):
                raise ImportRefusedError(
                    "row counts differ",
                    f"{path}: {len(values)} rows, but {examples[0]} has {len(table.ids)}",
                )
        except ImportRefusedError as error:
            skip(error, name)
            continue
        found.append(FoundLayer(name, values, table or positions(len(values))))
        if member_has_matlab_axes(path, member):
            detail = (
                f"{path}: read with the shape {values.shape} that MATLAB shows (the file stores "
                "the axes reversed); its rows must be the examples"
            )
            findings.append(ImportFinding("doubtful", "MATLAB axes", detail, model, step, name))
    return found


def _members(source: Path, files: list[Path]) -> Iterable[tuple[str, Path, str | None]]:
    """Return (layer, file, name in the file) for each layer of a step, in order."""
    if source.is_dir():
        names = [path.stem for path in files]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ImportRefusedError(
                "two files for one layer", f"{source}: two files are called {', '.join(twice)}"
            )
        return [(path.stem, path, None) for path in files]
    try:
        inside = array_names(source)
    except (InputError, StoreError) as error:
        raise ImportRefusedError(UNREADABLE, str(error)) from error
    if not inside or "" in inside:
        raise ImportRefusedError(
            UNREADABLE, f"{source}: expected arrays with names, one for each layer"
        )
    if source.suffix.lower() not in (".npz", ".pt"):  # these two keep the order of the network
        inside = sorted(inside, key=_natural_name)
    return [(name.strip("/"), source, name) for name in inside]


def _array(path: Path, member: str | None) -> Any:
    try:
        values = read_member(path, member)
    except (InputError, StoreError) as error:
        raise ImportRefusedError(UNREADABLE, str(error)) from error
    if values.ndim < 2:
        raise ImportRefusedError(
            "not a representation",
            f"{path}: expected (n_examples, n_features) or more axes, got shape {values.shape}",
        )
    return values


def _read_csv(path: Path) -> list[dict[str, Any]]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ImportRefusedError(UNREADABLE, f"{path}: over {MAX_BYTES} bytes")
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *lines = csv.reader(file, strict=True)
    except OSError as error:
        raise ImportRefusedError(UNREADABLE, f"{path}: {error.strerror or error}") from error
    except (csv.Error, ValueError) as error:
        raise ImportRefusedError(UNREADABLE, f"{path}: not CSV with a header: {error}") from error
    for number, line in enumerate(lines, start=1):
        if len(line) != len(header) or len(set(header)) != len(header):
            raise ImportRefusedError(
                UNREADABLE,
                f"{path}: row {number} has {len(line)} fields, the header {len(header)} (each name "
                "once)",
            )
    return [dict(zip(header, line, strict=True)) for line in lines]
