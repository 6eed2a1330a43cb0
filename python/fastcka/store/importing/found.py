"""What a look at a tree's folders and file names finds, before any array is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastcka.store.importing.finding import ImportFinding

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fastcka.store.importing.example_table import ExampleTable


@dataclass(frozen=True, slots=True, eq=False)
class FoundLayer:
    """A layer as it was read.

    Attributes
    ----------
    name
        Its name in the store.
    values
        (n_examples, ...) array or tensor.
    table
        Its examples.
    """

    name: str
    values: Any
    table: ExampleTable


@dataclass(frozen=True, slots=True)
class FoundStep:
    """A model's step in the tree.

    Attributes
    ----------
    model, step
        What it is called in the store.
    folder
        The model's.
    files
        All files that belong to it; it has changed if one of them has.
    read
        Reads its layers; what is wrong with one is added to the list, and the layer left out.
    """

    model: str
    step: int
    folder: Path
    files: tuple[Path, ...]
    read: Callable[[list[ImportFinding]], list[FoundLayer]]


@dataclass(frozen=True, slots=True)
class FoundTree:
    """All that was found in a tree.

    Attributes
    ----------
    layout
        Which of the two layouts it has.
    models
        Model name -> its folder.
    steps
        The steps of all models, by model and step.
    findings
        What could be seen to be wrong by names alone.
    """

    layout: str
    models: dict[str, Path]
    steps: list[FoundStep]
    findings: list[ImportFinding]


def unique_names(folders: list[Path], root: Path) -> dict[str, Path]:
    """Return a name for each folder below ``root``: its own, with as much of its path as it needs.

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
    for own in parts.values():
        for length in range(1, len(own) + 1):
            ends[own[-length:]] = ends.get(own[-length:], 0) + 1
    names: dict[str, Path] = {}
    for folder, own in parts.items():
        length = next((n for n in range(1, len(own)) if ends[own[-n:]] == 1), len(own))
        names["/".join(own[-length:])] = folder
    return names
