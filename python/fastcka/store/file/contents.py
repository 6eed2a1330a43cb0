"""Checking the arguments of `Store.write` before anything is written."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastcka.arrays import (
    aligned,
    aligned_to_ids,
    brief,
    coordinates_of,
    given_labels,
    mapping_of,
)
from fastcka.errors import InputError
from fastcka.store.file.columns import encoded_columns
from fastcka.store.file.format import (
    LAYER_ATTRIBUTES,
    MAX_NAME_BYTES,
    MAX_STEP,
    RESERVED_FACTORS,
)
from fastcka.store.file.ids import checked_ids, encoded_ids, id_texts
from fastcka.store.file.jsontext import checked_factors, dump_attribute
from fastcka.store.file.layer_array import LayerArray, as_layer_array
from fastcka.store.file.writer import FileContent

if TYPE_CHECKING:
    from numpy.typing import NDArray


def checked_content(
    *,
    model: str,
    step: int,
    layers: Mapping[str, Any],
    example_ids: Sequence[str] | Sequence[int] | None,
    example_columns: Mapping[str, Sequence[Any]] | None,
    factors: Mapping[str, Any] | None,
    provenance: Mapping[str, Any] | None,
    layer_attributes: Mapping[str, Mapping[str, str]] | None,
) -> FileContent:
    """Return the content of a file; see `Store.write`. Values are checked when they are written.

    Raises
    ------
    InputError
        Names the argument, the expected value and the given one.
    """
    _check_name("model", model)
    layers, example_ids = _labelled(layers, example_ids)
    sources = _sources(layers)
    n_examples = sources[0].n_examples
    if example_columns is None:
        columns = _coordinates(layers, n_examples)
    else:
        columns = encoded_columns(_mapping("example_columns", example_columns), n_examples)
    plain_factors = checked_factors(factors)
    for name in plain_factors:
        if name in RESERVED_FACTORS:
            raise InputError(
                f"factors: {name!r} is the name of a part of the key or of a column of "
                f"results.csv; use another name, such as {'model_' + name!r} or {name + '_name'!r}"
            )
    plain_provenance = _mapping("provenance", provenance)
    dump_attribute("factors", plain_factors)
    dump_attribute("provenance", plain_provenance)
    return FileContent(
        model=model,
        step=_checked_step(step),
        factors=plain_factors,
        provenance=plain_provenance,
        ids=encoded_ids(example_ids, n_examples),
        positional_ids=example_ids is None,
        columns=columns,
        layers=sources,
        layer_attributes=_layer_attributes(layer_attributes, [source.name for source in sources]),
    )


def _labelled(
    layers: Mapping[str, Any], example_ids: Sequence[str] | Sequence[int] | None
) -> tuple[Mapping[str, Any], Sequence[str] | Sequence[int] | None]:
    """Return layers with their rows in one order, and the example ids, given or from labels."""
    given, layers = layers, mapping_of(layers) or {}
    if not layers:
        raise InputError(f"layers: expected a mapping of at least one layer, got {brief(given)}")
    names = [f"layers[{name!r}]" for name in layers]
    if example_ids is None:
        arrays = aligned(list(layers.values()), names)
        texts = next(_label_texts(arrays, names), (0, None))[1]
        return dict(zip(layers, arrays, strict=True)), texts
    arrays = list(layers.values())
    ids: list[str] | None = None
    for i, texts in _label_texts(arrays, names):
        ids = ids or checked_ids("example_ids", example_ids, len(texts))
        arrays[i] = aligned_to_ids(arrays[i], texts, ids, names[i])
    return dict(zip(layers, arrays, strict=True)), example_ids


def _label_texts(arrays: Sequence[Any], names: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the position of each array that has labels, and its labels as text."""
    for i, (x, name) in enumerate(zip(arrays, names, strict=True)):
        labels = given_labels(x)
        if labels is None:
            continue
        try:
            yield i, id_texts(f"row labels of {name}", labels.tolist())
        except InputError as error:
            raise InputError(
                f"{error}; pass example_ids, or change the labels (as x.index.astype(str) does)"
            ) from None


def _coordinates(layers: Mapping[str, Any], n_examples: int) -> dict[str, NDArray[Any]]:
    """Return the coordinates of xarray layers along their first dimension as columns."""
    columns: dict[str, NDArray[Any]] = {}
    origin: dict[str, str] = {}
    for layer, values in layers.items():
        for name, coordinate in coordinates_of(values).items():
            where = f"coordinate {name!r} of layers[{layer!r}]"
            try:
                column = encoded_columns({name: coordinate}, n_examples)[name]
            except InputError as error:
                raise InputError(
                    f"{where} cannot become a column of the examples: {error}. Pass "
                    "example_columns ({} for none), or remove it with .drop_vars"
                ) from None
            if name in columns and not np.array_equal(columns[name], column):
                raise InputError(
                    f"{where} differs from that of layers[{origin[name]!r}]; pass example_columns, "
                    "or remove it with .drop_vars"
                )
            columns[name] = column
            origin.setdefault(name, layer)
    return columns


def _sources(layers: Mapping[str, Any]) -> list[LayerArray]:
    sources = []
    for name, value in layers.items():
        _check_name("layers", name)
        sources.append(as_layer_array(name, value))
    first = sources[0]
    for source in sources:
        if source.n_examples != first.n_examples:
            raise InputError(
                f"layers[{source.name!r}]: expected {first.n_examples} examples, as in "
                f"layers[{first.name!r}], got {source.n_examples}; all layers must have the same "
                "examples"
            )
    return sources


def _layer_attributes(
    attributes_by_layer: Mapping[str, Mapping[str, str]] | None, layers: Sequence[str]
) -> dict[str, dict[str, str]]:
    checked: dict[str, dict[str, str]] = {}
    for layer, attributes in _mapping("layer_attributes", attributes_by_layer).items():
        if layer not in layers:
            raise InputError(
                f"layer_attributes: expected a name in `layers` ({list(layers)[:8]}), got {layer!r}"
            )
        for name, text in _mapping(f"layer_attributes[{layer!r}]", attributes).items():
            if name not in LAYER_ATTRIBUTES:
                raise InputError(
                    f"layer_attributes[{layer!r}]: expected {' or '.join(LAYER_ATTRIBUTES)}, "
                    f"got {name!r}"
                )
            _check_name(f"layer_attributes[{layer!r}][{name!r}]", text)
            checked.setdefault(layer, {})[name] = text
    return checked


def _check_name(argument: str, name: object) -> None:
    if not isinstance(name, str) or not name or "\0" in name:
        raise InputError(f"{argument}: expected a non-empty string without NUL, got {name!r}")
    try:
        size = len(name.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise InputError(f"{argument}: {name!r} cannot be written as UTF-8: {error}") from None
    if size > MAX_NAME_BYTES:
        raise InputError(
            f"{argument}: expected at most {MAX_NAME_BYTES} bytes, got {size}: {name[:60]!r}..."
        )


def _checked_step(step: object) -> int:
    try:
        number = -1 if isinstance(step, bool) else operator.index(step)  # type: ignore[arg-type]
    except TypeError:
        number = -1
    if not 0 <= number <= MAX_STEP:
        raise InputError(f"step: expected an integer from 0 to 2**63 - 1, got {step!r}")
    return number


def _mapping(argument: str, value: Mapping[str, Any] | None) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InputError(f"{argument}: expected a mapping, got {type(value).__name__}")
    return dict(value)
