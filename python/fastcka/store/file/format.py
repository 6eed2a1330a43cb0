"""Constants of the store's format, how names become paths, and the header of a file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fastcka.digests import bytes_digest
from fastcka.errors import FormatVersionError

if TYPE_CHECKING:
    from pathlib import Path

FORMAT: Final = "fastcka.store"
FORMAT_VERSION: Final = "1.1"
MARKER: Final = "store.json"
INDEX: Final = "index.sqlite"
MODELS: Final = "models"
MAX_STEP: Final = 2**63 - 1
MAX_NAME_BYTES: Final = 1024
DIGEST_BYTES: Final = 32
LAYER_ATTRIBUTES: Final = ("pooling", "io")
POSITIONAL: Final = "positional"
"""Attribute of the ids: 1 where they only name positions, 0 where somebody gave them."""
RESERVED_FACTORS: Final = {
    *("model", "step", "layer"),
    *("model_a", "step_a", "layer_a", "model_b", "step_b", "layer_b"),
    *("group", "n_examples", "n_dropped", "dropped", "estimator", "undefined"),
    *("device", "route", "precision", "seconds"),
    *("cka", "cka_biased", "cka_unbiased", "hsic_biased", "hsic_unbiased"),
}
"""Parts of a key, and the columns that every table of results has: no factor may hide them."""

_STEP_FILE: Final = re.compile(r"(0|[1-9][0-9]{0,18})\.h5")
_COLUMN: Final = re.compile(r"\w[\w .-]{0,63}")


@dataclass(frozen=True, slots=True)
class LayerHeader:
    """What a file says of one of its layers; its position is its place in `FileHeader.layers`.

    Its values lie in chunks of ``chunk_rows`` rows, at these offsets in the file, and have these
    checksums, which files of format 1.0 lack.
    """

    name: str
    n_features: int
    dtype: str
    digest: str
    chunk_rows: int
    offsets: tuple[int, ...]
    checksums: tuple[int, ...] | None
    pooling: str | None = None
    io: str | None = None


@dataclass(frozen=True, slots=True)
class FileHeader:
    """What a file says of itself: all but the values and the examples, of which it has a digest."""

    model: str
    step: int
    factors: dict[str, Any]
    provenance: dict[str, Any]
    n_examples: int
    examples_digest: str
    positional_ids: bool
    columns: tuple[str, ...]
    layers: tuple[LayerHeader, ...]


def safe_id(model: str) -> str:
    """Return the folder name of a model: a readable part and a hash of the full name.

    A pure function, so that writers need to agree on nothing; the true name stands in each file.

    Examples
    --------
    >>> safe_id("resnet/18 seed=0")
    'resnet-18-seed-0-9f8eb8b4a52bd8fc'
    """
    readable = re.sub(r"[^A-Za-z0-9]+", "-", model).strip("-")[:40] or "model"
    digest = bytes_digest(model.encode("utf-8"), 8)
    return f"{readable}-{digest}"


def step_path(root: Path, model: str, step: int) -> Path:
    """Return the path of a model's step."""
    return root / MODELS / safe_id(model) / f"{step}.h5"


def step_of_name(name: str) -> int | None:
    """Return the step that a file name stands for, or None if it is no step's name."""
    if _STEP_FILE.fullmatch(name) is None:
        return None
    step = int(name.removesuffix(".h5"))
    return step if step <= MAX_STEP else None


def is_column_name(name: str) -> bool:
    """Return whether a column of examples may be called this.

    Column names become link names in HDF5, where "/" and "." mean something.
    """
    return name != "id" and _COLUMN.fullmatch(name) is not None


def checked_version(version: str, source: str) -> tuple[int, int]:
    """Return a format version as numbers; refuse one other than 1.x.

    Raises
    ------
    FormatVersionError
        Naming the source and its version.
    """
    match = re.fullmatch(r"([0-9]{1,6})\.([0-9]{1,6})", version)
    if match is None:
        raise FormatVersionError(
            f"{source}: expected a format version such as {FORMAT_VERSION!r}, got {version!r}"
        )
    if match[1] != FORMAT_VERSION.partition(".")[0]:
        newer = int(match[1]) > int(FORMAT_VERSION.partition(".")[0])
        remedy = "update fastcka to read it" if newer else "write it again with this fastcka"
        raise FormatVersionError(
            f"{source}: written in version {version} of the format; this fastcka reads "
            f"version {FORMAT_VERSION}: {remedy}"
        )
    return int(match[1]), int(match[2])
