"""The models, steps and layers of a tree. Folders and names are read first, arrays on demand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastcka.store.importing.finding import ImportFinding

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fastcka.store.importing.example_table import ExampleTable


@dataclass(frozen=True, slots=True, eq=False)
class TreeLayer:
    """A layer with its values.

    Attributes
    ----------
    name
        The layer's name in the store.
    values
        (n_examples, ...) array or tensor.
    table
        The examples.
    """

    name: str
    values: Any
    table: ExampleTable


@dataclass(frozen=True, slots=True)
class TreeStep:
    """A model's step in the tree.

    Attributes
    ----------
    model, step
        The key in the store.
    folder
        The model's folder.
    files
        All files of the step. The step has changed if one of them has changed.
    read
        Reads the layers. It skips a faulty layer and adds a finding to the list.
    """

    model: str
    step: int
    folder: Path
    files: tuple[Path, ...]
    read: Callable[[list[ImportFinding]], list[TreeLayer]]


@dataclass(frozen=True, slots=True)
class TreeContents:
    """The content of a tree, by the names of its folders and files.

    Attributes
    ----------
    layout
        The name of the layout.
    models
        Model name -> folder.
    steps
        The steps of all models, sorted by model and step.
    findings
        Problems that the names alone show.
    """

    layout: str
    models: dict[str, Path]
    steps: list[TreeStep]
    findings: list[ImportFinding]


def unique_names(folders: list[Path], root: Path) -> dict[str, Path]:
    """Return the shortest unique name of each folder: the end of its path below ``root``.

    Examples
    --------
    >>> from pathlib import Path
    >>> list(unique_names([Path("t/a/m"), Path("t/b/m"), Path("t/b/k")], Path("t")))
    ['a/m', 'b/m', 'k']
    """
    parts = {
        folder: folder.relative_to(root).parts or (root.resolve().name or "model",)
        for folder in folders
    }
    ends: dict[tuple[str, ...], int] = {}
    for path in parts.values():
        for length in range(1, len(path) + 1):
            ends[path[-length:]] = ends.get(path[-length:], 0) + 1
    names: dict[str, Path] = {}
    for folder, path in parts.items():
        length = next((n for n in range(1, len(path)) if ends[path[-n:]] == 1), len(path))
        names["/".join(path[-length:])] = folder
    return names
