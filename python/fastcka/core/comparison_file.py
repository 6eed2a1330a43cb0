"""Comparisons in .npz files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from fastcka.core.columns import REQUIRED, STORED
from fastcka.core.inference.moments import Moments
from fastcka.core.inference.options import Inference
from fastcka.core.saved import load_npz, save_npz

if TYPE_CHECKING:
    from fastcka.core.comparison import Comparison

#: Files of version 1 contain no inference.
_VERSIONS = (1, 2)
_MOMENT = "moment_"
_MEASURE = "measure_"
_REQUIRED = [
    *(column.attribute for column in REQUIRED),
    *("pairs", "labels", "estimator", "n_examples", "provenance", "undefined"),
]
#: The kind of a file that contains a comparison of two sets.
TWO_SETS = "cross_comparison"


def write_comparison(
    comparison: Comparison, path: str | os.PathLike[str], *, n_rows: int | None = None
) -> None:
    """Write a comparison, or with ``n_rows`` one of two sets; errors as `Comparison.save`."""
    header = {
        "labels": comparison.labels,
        "estimator": comparison.estimator,
        "n_examples": comparison.n_examples,
        "provenance": comparison.provenance,
        "undefined": {str(position): reason for position, reason in comparison.undefined.items()},
        "inference": None if comparison.inference is None else comparison.inference.to_dict(),
    }
    arrays = {column.attribute: getattr(comparison, column.attribute) for column in STORED}
    arrays["pairs"] = comparison.pairs
    if comparison.moments is not None:
        arrays |= {f"{_MOMENT}{name}": x for name, x in comparison.moments.arrays().items()}
    arrays |= {f"{_MEASURE}{name}": x for name, x in comparison.measures.items()}
    computed = {name: array for name, array in arrays.items() if array is not None}
    if n_rows is None:
        save_npz(path, "comparison", _VERSIONS[-1], header, computed)
    else:
        save_npz(path, TWO_SETS, 1, {**header, "n_rows": n_rows}, computed)


def read_fields(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the fields of a saved `Comparison`; errors as `Comparison.load`."""
    return _fields(*load_npz(path, "comparison", _VERSIONS, _REQUIRED))


def read_two_sets(path: str | os.PathLike[str]) -> tuple[dict[str, Any], int]:
    """Return the fields of the square comparison in a file of two sets, and the number of rows."""
    header, arrays = load_npz(path, TWO_SETS, [1], [*_REQUIRED, "n_rows"])
    return _fields(header, arrays), int(header["n_rows"])


def _fields(header: dict[str, Any], arrays: dict[str, Any]) -> dict[str, Any]:
    names = {*(column.attribute for column in STORED), "pairs"} & arrays.keys()
    moments, measures = (
        {
            name.removeprefix(prefix): array
            for name, array in arrays.items()
            if name.startswith(prefix)
        }
        for prefix in (_MOMENT, _MEASURE)
    )
    options = header.get("inference")
    return {
        "labels": tuple(header["labels"]),
        "estimator": header["estimator"],
        "n_examples": header["n_examples"],
        "provenance": header["provenance"],
        "undefined": {int(position): reason for position, reason in header["undefined"].items()},
        "moments": Moments.of_arrays(moments),
        "measures": measures,
        "inference": None if options is None else Inference(**options),
        **{name: arrays[name] for name in names},
    }
