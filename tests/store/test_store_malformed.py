"""Every fault of a file is a named error and never gives wrong values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pytest

from fastcka.errors import (
    CorruptFileError,
    FastckaError,
    FormatVersionError,
    StoreError,
    UnsafeFileError,
)
from fastcka.store import Store, open_store
from store.malformed_files import (
    KEY,
    D,
    N,
    drop,
    external_storage,
    one_chunk_missing,
    put,
    replace,
    second_name,
    text,
    unknown_filter,
    virtual,
)


class Case(NamedTuple):
    damage: Callable[[h5py.File], object]
    error: type[StoreError]
    message: str


X = "layers/0/x"


CASES = {
    # The root
    "no format": Case(lambda f: drop(f, "format"), CorruptFileError, "'format': expected 'fastck"),
    "other format": Case(lambda f: text(f, "format", "x"), CorruptFileError, "got 'x'"),
    "newer version": Case(
        lambda f: text(f, "format_version", "2.1"), FormatVersionError, "got 2.1: update"
    ),
    "older version": Case(
        lambda f: text(f, "format_version", "0.9"), FormatVersionError, "got 0.9"
    ),
    "no version": Case(lambda f: text(f, "format_version", "new"), FormatVersionError, "'new'"),
    "not complete": Case(lambda f: drop(f, "complete"), CorruptFileError, "'complete': expected 1"),
    "complete is 0": Case(
        lambda f: f.attrs.modify("complete", 0), CorruptFileError, "'complete': expected 1"
    ),
    "complete is text": Case(
        lambda f: text(f, "complete", "yes"), CorruptFileError, "'complete': expected an integer"
    ),
    "no model": Case(lambda f: drop(f, "model"), CorruptFileError, "'model' is missing"),
    "other model": Case(lambda f: text(f, "model", "n"), CorruptFileError, "contains model 'n'"),
    "text of any length": Case(
        lambda f: f.attrs.__setitem__("model", "m"), CorruptFileError, "one string of fixed length"
    ),
    "text not UTF-8": Case(
        lambda f: f.attrs.__setitem__("factors", np.bytes_(b"\xff")), CorruptFileError, "damaged"
    ),
    "no step": Case(lambda f: drop(f, "step"), CorruptFileError, "contains step None"),
    "other step": Case(lambda f: f.attrs.modify("step", 4), CorruptFileError, "contains step 4"),
    "no factors": Case(lambda f: drop(f, "factors"), CorruptFileError, "'factors' is missing"),
    "factors cut": Case(lambda f: text(f, "factors", "{"), CorruptFileError, "'factors'"),
    "factors a list": Case(lambda f: text(f, "factors", "[1]"), CorruptFileError, "got list"),
    "factors nested": Case(
        lambda f: text(f, "factors", '{"a": {"b": 1}}'),
        CorruptFileError,
        r"\['a'\]: expected",
    ),
    "factors NaN": Case(lambda f: text(f, "factors", '{"a": NaN}'), CorruptFileError, "NaN"),
    "factors too deep": Case(
        lambda f: text(f, "factors", "[" * 60_000), CorruptFileError, "nested too deep"
    ),
    "factors too long a number": Case(
        lambda f: text(f, "factors", '{"a": ' + "9" * 50_000 + "}"), CorruptFileError, "'factors'"
    ),
    # Groups and links
    "no layers": Case(lambda f: f.__delitem__("layers"), CorruptFileError, "/layers is missing"),
    "layers is a dataset": Case(
        lambda f: replace(f, "layers", np.zeros(3)), CorruptFileError, "/layers: expected a group"
    ),
    "no examples": Case(
        lambda f: f.__delitem__("examples"), CorruptFileError, "/examples is missing"
    ),
    "no layer": Case(
        lambda f: (f.__delitem__("layers/0"), f.__delitem__("layers/1")),
        CorruptFileError,
        "expected groups '0'",
    ),
    "gap in the layers": Case(
        lambda f: f.move("layers/1", "layers/2"), CorruptFileError, "expected groups '0'"
    ),
    "layer without values": Case(lambda f: f.__delitem__(X), CorruptFileError, "/0/x is missing"),
    "layer without name": Case(
        lambda f: drop(f, "name", "layers/0"), CorruptFileError, "'name' is missing"
    ),
    "two layers have the same name": Case(
        lambda f: text(f, "name", "a", "layers/1"),
        CorruptFileError,
        "two layers have the same name",
    ),
    "no digest": Case(lambda f: drop(f, "digest", "layers/0"), CorruptFileError, "'digest'"),
    "digest no digest": Case(
        lambda f: text(f, "digest", "00", "layers/0"),
        CorruptFileError,
        "'digest': expected 64 hexadecimal digits, got '00'",
    ),
    "other digest": Case(
        lambda f: text(f, "digest", "0" * 64, "layers/0"),
        CorruptFileError,
        "do not match their digest",
    ),
    "soft link": Case(
        lambda f: replace(f, X, h5py.SoftLink("/layers/1/x")), UnsafeFileError, "a soft link"
    ),
    "soft link on the way": Case(
        lambda f: replace(f, "layers/0", h5py.SoftLink("/layers/1")), UnsafeFileError, "soft link"
    ),
    "external link": Case(
        lambda f: replace(f, X, h5py.ExternalLink("/etc/x.h5", "/x")),
        UnsafeFileError,
        "/layers/0/x is an external link; links are not followed",
    ),
    "external link to the ids": Case(
        lambda f: replace(f, "examples/id", h5py.ExternalLink("x.h5", "/x")),
        UnsafeFileError,
        "/examples/id is an external link",
    ),
    "external link to a column": Case(
        lambda f: replace(f, "examples/c", h5py.ExternalLink("x.h5", "/x")),
        UnsafeFileError,
        "/examples/c is an external link",
    ),
    "stored type": Case(
        lambda f: replace(f, X, np.dtype("f4")), CorruptFileError, "got a stored type"
    ),
    # Storage
    "external storage": Case(external_storage, UnsafeFileError, "external storage"),
    "virtual": Case(virtual, UnsafeFileError, "a virtual dataset"),
    "unknown filter": Case(unknown_filter, CorruptFileError, r"got filters \[54321\]"),
    "compressed": Case(
        lambda f: put(f, X, compression="gzip"), CorruptFileError, "expected fletcher32 alone"
    ),
    "no checksums": Case(
        lambda f: put(f, X, fletcher32=False), CorruptFileError, r"got filters \[\]"
    ),
    "contiguous": Case(
        lambda f: put(f, X, chunks=None, fletcher32=False), CorruptFileError, "chunked storage"
    ),
    "resizable": Case(lambda f: put(f, X, maxshape=(None, D)), CorruptFileError, "a fixed shape"),
    "parts of rows": Case(lambda f: put(f, X, chunks=(N, 2)), CorruptFileError, "whole rows"),
    "shape bomb": Case(
        lambda f: put(f, X, shape=(N, 2**40), chunks=(1, 2**20), values=None),
        UnsafeFileError,
        r"\(7, 1099511627776\) needs [0-9]+ bytes, but the file has",
    ),
    "chunk bomb": Case(
        lambda f: put(f, X, chunks=(2**20, D), maxshape=(2**20, D), values=None),
        StoreError,
        "declared|fixed shape",
    ),
    "missing chunk": Case(one_chunk_missing, CorruptFileError, "expected 2 stored chunks, got 1"),
    # Shapes and types
    "one axis": Case(
        lambda f: put(f, X, shape=(N,), chunks=(N,)), CorruptFileError, r"shape \(n, d\), got \(7,"
    ),
    "three axes": Case(
        lambda f: put(f, X, shape=(N, D, 1), chunks=(N, D, 1)), CorruptFileError, r"\(n, d\)"
    ),
    "no features": Case(
        lambda f: put(f, X, shape=(N, 0), maxshape=(N, None), chunks=(N, 1), values=None),
        CorruptFileError,
        r"\(7, 0\)",
    ),
    "no space": Case(lambda f: replace(f, X, h5py.Empty("f4")), CorruptFileError, "null dataspace"),
    "fewer rows than ids": Case(
        lambda f: put(f, X, shape=(6, D), chunks=(6, D)), CorruptFileError, "6 rows, .* has 7"
    ),
    "big-endian": Case(lambda f: put(f, X, dtype=">f4"), CorruptFileError, "little-endian"),
    "integers": Case(lambda f: put(f, X, dtype="<i4"), CorruptFileError, "little-endian"),
    "uint16 alone": Case(
        lambda f: put(f, X, dtype="<u2"), CorruptFileError, "uint16 with logical_dtype None"
    ),
    "float32 as bfloat16": Case(
        lambda f: text(f, "logical_dtype", "bfloat16", X), CorruptFileError, "'bfloat16'"
    ),
    "object references": Case(
        lambda f: put(f, X, dtype=h5py.ref_dtype, fletcher32=False, values=None),
        CorruptFileError,
        "expected little-endian",
    ),
    "values of any length": Case(
        lambda f: put(f, X, dtype=h5py.vlen_dtype("f4"), fletcher32=False, values=None),
        CorruptFileError,
        "damaged|expected little-endian",
    ),
    "NaN": Case(lambda f: put(f, X, values=np.nan), CorruptFileError, "digest|NaN"),
    # Examples
    "ids of any length": Case(
        lambda f: put(
            f,
            "examples/id",
            shape=(N,),
            chunks=(N,),
            dtype=h5py.string_dtype(),
            fletcher32=False,
            values=None,
        ),
        CorruptFileError,
        "/examples/id: expected text of fixed length",
    ),
    "ids are numbers": Case(
        lambda f: put(f, "examples/id", shape=(N,), chunks=(N,), dtype="<i8"),
        CorruptFileError,
        "/examples/id: expected text, got int64",
    ),
    "no ids": Case(lambda f: f.__delitem__("examples/id"), CorruptFileError, "/id is missing"),
    "ids in two axes": Case(
        lambda f: put(f, "examples/id", shape=(N, 1), chunks=(N, 1), dtype="S1"),
        CorruptFileError,
        r"/examples/id: expected shape \(n,\)",
    ),
    "ids repeat": Case(
        lambda f: put(f, "examples/id", shape=(N,), chunks=(N,), dtype="S1", values=b"a"),
        CorruptFileError,
        "expected unique ids",
    ),
    "ids marked as neither": Case(
        lambda f: f["examples/id"].attrs.modify("positional", 2),
        CorruptFileError,
        "expected 0 or 1",
    ),
    "ids marked by text": Case(
        lambda f: text(f, "positional", "yes", "examples/id"),
        CorruptFileError,
        "'positional': expected an integer",
    ),
    "ids marked as positions that they are not": Case(
        lambda f: f["examples/id"].__setitem__(slice(0, 2), [b"1", b"0"]),
        CorruptFileError,
        "marked as positions, but are not '0' to '6'",
    ),
    "ids not UTF-8": Case(
        lambda f: put(f, "examples/id", shape=(N,), chunks=(N,), dtype="S1", values=b"\xff"),
        CorruptFileError,
        "/examples/id: damaged",
    ),
    "column too short": Case(
        lambda f: put(f, "examples/c", shape=(3,), chunks=(3,), dtype="<i8"),
        CorruptFileError,
        r"/examples/c: expected shape \(7,\), got \(3,\)",
    ),
    "column of another type": Case(
        lambda f: put(f, "examples/c", shape=(N,), chunks=(N,), dtype="<i4"),
        CorruptFileError,
        "/examples/c: expected text of fixed length, int64",
    ),
    "column with a name that is not UTF-8": Case(
        lambda f: f.move("examples/c", b"examples/caf\xe9"),
        CorruptFileError,
        r"/examples: the name b'caf\\xe9' is not UTF-8",
    ),
    "layer with a name that is not UTF-8": Case(
        lambda f: f.move("layers/1", b"layers/\xff"), CorruptFileError, "/layers: the name"
    ),
    "column with a bad name": Case(
        lambda f: f.move("examples/c", "examples/$(x)"),
        CorruptFileError,
        "expected names of columns|expected a name other than",
    ),
    "column name not UTF-8": Case(
        lambda f: second_name(f["examples"], b"c"),
        CorruptFileError,
        "/examples: the name .* is not UTF-8",
    ),
    "layer name not UTF-8": Case(
        lambda f: second_name(f["layers"], b"1"),
        CorruptFileError,
        "/layers: the name .* is not UTF-8",
    ),
    "a boolean of 2": Case(
        lambda f: f["examples/flag"].__setitem__(0, 2), CorruptFileError, "0 and 1 as booleans"
    ),
}


def answers(store: Store) -> tuple[list[FastckaError], list[np.ndarray]]:
    """Read everything in the store; return the errors and values."""
    errors: list[FastckaError] = []
    arrays: list[np.ndarray] = []
    for question in (store.keys, lambda: store.info(KEY), lambda: store.examples(KEY)):
        try:
            question()
        except FastckaError as error:
            errors.append(error)
    try:
        arrays.append(store.read(KEY))
    except FastckaError as error:
        errors.append(error)
    return errors, arrays


@pytest.mark.parametrize("name", CASES)
def test_a_malformed_file_is_a_named_error(store: Store, written: Path, name: str) -> None:
    case = CASES[name]
    with h5py.File(written, "r+", libver=("v110", "v110")) as file:
        case.damage(file)
    findings = [f for f in open_store(store.path).verify() if f.path == written]
    assert [f.kind for f in findings] == ["error"]
    with pytest.raises(case.error, match=case.message):
        raise case.error(findings[0].message)
    assert str(written) in findings[0].message
    errors, _ = answers(open_store(store.path))
    assert all(isinstance(error, StoreError) for error in errors)
    # Only verify checks digests and finiteness; the reading methods check everything else.
    if name not in ("other digest", "NaN"):
        assert any(type(e) is type(errors[0]) and isinstance(e, case.error) for e in errors)
        assert str(findings[0].message) in [str(error) for error in errors]


@pytest.mark.parametrize("name", CASES)
def test_a_malformed_file_with_checksums_is_a_named_error(
    store: Store, sealed: Path, name: str
) -> None:
    with h5py.File(sealed, "r+", libver=("v110", "v110")) as file:
        CASES[name].damage(file)
    findings = [f for f in open_store(store.path).verify() if f.path == sealed]
    assert [f.kind for f in findings] == ["error"]
    assert str(sealed) in findings[0].message
    errors, _ = answers(open_store(store.path))
    assert errors
    assert all(isinstance(error, StoreError) for error in errors)
