"""The store's format: its constants, the paths of files, and the header of a file."""

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
"""Attribute of the ids: 1 if they are only row positions, 0 if the writer gave them."""
RESERVED_FACTORS: Final = {
    *("model", "step", "layer"),
    *("model_a", "step_a", "layer_a", "model_b", "step_b", "layer_b"),
    *("group", "n_examples", "n_dropped", "dropped", "estimator", "undefined"),
    *("device", "route", "precision", "seconds"),
    *("cka", "cka_biased", "cka_unbiased", "hsic_biased", "hsic_unbiased", "feature_corrected"),
    *("null_mean", "null_sd", "z", "p_value", "q_value", "calibrated"),
    *("stderr", "ci_low", "ci_high"),
    *("rbf_cka", "mutual_knn", "cknna", "cknna_reference", "cknna_reference_b"),
    *("procrustes", "svcca", "pwcca", "pwcca_b"),
}
"""Names that no factor may have: the parts of a key, and the standard columns of results."""

_STEP_FILE: Final = re.compile(r"(0|[1-9][0-9]{0,18})\.h5")
_COLUMN: Final = re.compile(r"\w[\w .-]{0,63}")


@dataclass(frozen=True, slots=True)
class LayerHeader:
    """The header of a layer; its index in `FileHeader.layers` is its position in the file.

    The values are stored in chunks of ``chunk_rows`` rows. ``offsets`` are the chunks' byte offsets
    in the file. ``checksums`` are the chunks' checksums, or None in a file of format 1.0.
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
    """The header of a file: its contents without values and examples, but with their digests."""

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

    The folder name depends only on the model's name, so writers need no coordination. Each file
    contains the full name.

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
    """Return the step that a file name encodes, or None if it encodes no step."""
    if _STEP_FILE.fullmatch(name) is None:
        return None
    step = int(name.removesuffix(".h5"))
    return step if step <= MAX_STEP else None


def is_column_name(name: str) -> bool:
    """Return whether a column of examples may have this name.

    Column names become link names in HDF5, where "/" and "." have a special meaning.
    """
    return name != "id" and _COLUMN.fullmatch(name) is not None


def checked_version(version: str, source: str) -> tuple[int, int]:
    """Return a format version as two numbers; refuse versions other than 1.x.

    Raises
    ------
    FormatVersionError
        Names the source and its version.
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
            f"{source}: expected format version {FORMAT_VERSION}, which this fastcka reads, got "
            f"{version}: {remedy}"
        )
    return int(match[1]), int(match[2])
