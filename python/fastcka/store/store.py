"""The store: a folder of representations, one file for each model and step."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from fastcka.errors import InputError, KeyExistsError, StoreError, WriteError
from fastcka.files import is_temporary, make_folder, write_errors
from fastcka.out_of_memory import named_shortage
from fastcka.paths import given_path
from fastcka.store.file.contents import checked_content
from fastcka.store.file.format import MARKER, step_path
from fastcka.store.file.jsontext import factor_difference
from fastcka.store.file.key import Examples, Key
from fastcka.store.file.marker import check_marker, write_marker
from fastcka.store.file.opening import open_step
from fastcka.store.file.output import check_positions, checked_output
from fastcka.store.file.writer import write_file
from fastcka.store.headers import HeaderCache
from fastcka.store.inventory import Inventory
from fastcka.store.reading import concurrently
from fastcka.store.rows import StoredRows
from fastcka.store.verify import Finding, Verification

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray


class Store(Inventory):
    """Representations on disk. `create_store` and `open_store` return one.

    ``keys()`` lists the representations, and ``read(key)`` reads one. Reading methods may be
    called from several threads at once.

    Attributes
    ----------
    path
        The store's folder.
    writable
        Whether `write` may be called.
    """

    def __init__(self, path: Path, *, writable: bool) -> None:
        super().__init__(path)
        self.writable = writable

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r}, writable={self.writable})"

    def close(self) -> None:
        """Clear the cached headers. The store holds no file open between calls."""
        self._headers = HeaderCache(self.path)

    @named_shortage("writing a representation")
    def write(
        self,
        *,
        model: str,
        step: int,
        layers: Mapping[str, Any],
        example_ids: Sequence[str] | Sequence[int] | None = None,
        example_columns: Mapping[str, Sequence[Any]] | None = None,
        factors: Mapping[str, Any] | None = None,
        provenance: Mapping[str, Any] | None = None,
        layer_attributes: Mapping[str, Mapping[str, str]] | None = None,
        overwrite: bool = False,
    ) -> None:
        """Write all layers of one model at one step as one file.

        The write is atomic, and durable when the call returns.

        Parameters
        ----------
        model, step
            Name of the training run and its training step (0 or more).
        layers
            Layer name -> array (n_examples, n_features), in the order of the network: a mapping, or
            an object with ``items``. Axes after the first are flattened. An array is a NumPy array,
            a torch CPU tensor, a table, or any object that supports DLPack. Floats keep their
            dtype; booleans and integers of at most 16 bits become float32; convert wider integers
            yourself. Labelled rows (pandas, xarray) are reordered to match `example_ids`.
        example_ids
            One unique id per row: text, bytes in UTF-8, or integers, which become decimal text.
            Floats, booleans and mixed ids are refused. Default: the row labels of the layers.
            Without labels, the ids are the row positions, "0" to "n-1", and the file records that.
            Such rows are matched only with rows of as many examples that are named likewise.
        example_columns
            Further columns for filters: name -> n strings, booleans, integers or floats. Default:
            the coordinates of xarray layers along their first dimension.
        factors
            The properties that distinguish this model from others (family, variant, seed, tasks
            ...): scalars or lists of scalars, the same at every step of the model. A factor must
            not have the name of a part of the key or of a standard column of results.csv.
        provenance
            The origin of the representations: any values that JSON can represent.
        layer_attributes
            Layer name -> {"pooling": text, "io": text}, how the rows were made; each is optional.
        overwrite
            Replace this model's step if the store already contains it.

        Raises
        ------
        InputError
            If an argument is not as described above, or a layer contains NaN or infinities.
        KeyExistsError
            If the store already contains this model's step and `overwrite` is false.
        StoreError
            If the store is open for reading only, or the file cannot be written.
        """
        if not self.writable:
            raise StoreError(
                f"{self.path}: the store is open for reading only; open it for writing with "
                "create_store(path, exist_ok=True)"
            )
        content = checked_content(
            model=model,
            step=step,
            layers=layers,
            example_ids=example_ids,
            example_columns=example_columns,
            factors=factors,
            provenance=provenance,
            layer_attributes=layer_attributes,
        )
        path = step_path(self.path, content.model, content.step)
        name = f"model {model!r} at step {step}"
        taken = f"{self.path} already contains {name}; pass overwrite=True to replace it"
        if not overwrite and os.path.lexists(path):
            raise KeyExistsError(taken)
        self._check_factors(content.model, content.step, content.factors)
        try:
            make_folder(path.parent)
        except WriteError as error:
            raise StoreError(str(error)) from error
        try:
            write_file(path, content, overwrite=overwrite)
        except FileExistsError as error:
            if os.path.lexists(path) or not os.path.lexists(error.filename):
                raise KeyExistsError(taken) from None
            raise KeyExistsError(
                f"{self.path}: another process has started to write {name}; if none is running, "
                f"delete the file that it left, {error.filename}"
            ) from None

    @named_shortage("reading a representation", "read fewer rows at once, or raise the limit")
    def read(
        self,
        key: Key,
        *,
        out: NDArray[Any] | None = None,
        rows: NDArray[np.integer[Any]] | None = None,
    ) -> NDArray[Any]:
        """Return the values of a representation.

        Parameters
        ----------
        key
            ``Key(model, step, layer)``, as `keys` lists them.
        out
            A writable float32 or float64 array of shape (n_examples, n_features) with any strides.
            It receives the values, converted to its dtype. Default: a new array.
        rows
            Integer positions of the examples to read, (n_rows,), in the order wanted. `out` then
            has n_rows rows. Default: all examples in stored order.

        Returns
        -------
        ndarray
            `out` if given, otherwise a new array of the stored dtype; bfloat16 becomes float32,
            which is exact. All returned values have passed their checksums.

        Raises
        ------
        InputError
            If `out` or `rows` does not fit, or a float64 value is too large for a float32 `out`.
        UnknownKeyError
            If the store contains no such representation.
        CorruptFileError, UnsafeFileError, FormatVersionError
            If a checksum is wrong, or the file does not follow the format. The contents of `out`
            are then undefined.
        """
        return self._read(key, out, rows)

    @named_shortage("reading representations")
    def read_many(
        self,
        keys: Sequence[Key],
        *,
        outs: Sequence[NDArray[Any] | None] | None = None,
        rows: Sequence[NDArray[np.integer[Any]] | None] | None = None,
    ) -> list[NDArray[Any]]:
        """Return the values of many representations, read by all processors at once.

        ``outs`` and ``rows`` have an entry for each key: `out` and `rows` of `read`. Errors are
        those of `read`; of several, that of the first key is raised.
        """
        return concurrently(self._read, keys, outs=outs, rows=rows)

    def rows(self, key: Key, positions: NDArray[np.integer[Any]] | None = None) -> StoredRows:
        """Return a representation, or its rows at some positions, to be read in blocks."""
        return StoredRows(self, Key.of(key), positions)

    def _read(self, key: Key, out: Any, rows: Any, threads: int | None = None) -> NDArray[Any]:
        key = Key.of(key)
        path = self._existing(key.model, key.step)
        with self._headers.opened(path, key) as (file, chunks):
            n_rows = chunks.n_examples
            if rows is not None:
                check_positions(rows, chunks.n_examples, key)
                n_rows = len(rows)
            values = checked_output(out, (n_rows, chunks.n_features), chunks.dtype, key)
            chunks.read(path, file, values, rows, threads)
        return values

    @named_shortage("reading the examples of a representation")
    def examples(self, key: Key) -> Examples:
        """Return the ids and columns of a representation's examples (rows)."""
        path = self._existing(key.model, key.step)
        with open_step(path) as reader:
            self._headers.position(reader, key)
            return reader.examples.examples()

    def verify(self) -> list[Finding]:
        """Read every file in full and return the findings: at least one for each file."""
        return list(self.iter_verify())

    def iter_verify(self) -> Verification:
        """Return the findings of `verify` as an iterable with a length, for a progress bar."""
        return Verification(self.path)

    def _check_factors(self, model: str, step: int, factors: Mapping[str, Any]) -> None:
        """Raise `InputError` if the factors differ from those at the model's other steps."""
        for header in self._headers.of_model(model)[0]:
            difference = factor_difference(factors, header.factors)
            if header.step != step and difference is not None:
                name, new, old = difference
                raise InputError(
                    f"factors[{name!r}]: expected {old}, as at step {header.step} of model "
                    f"{model!r}, got {new}; a model's factors must be the same at all its steps"
                )


def create_store(path: str | os.PathLike[str], *, exist_ok: bool = False) -> Store:
    """Create a store and open it for reading and writing.

    Parameters
    ----------
    path
        Folder of the store: new, or empty. Missing parent folders are created.
    exist_ok
        If the folder already contains a store, open that store for writing.

    Raises
    ------
    StoreError
        If the folder already contains a store and `exist_ok` is false, or contains other files.
    """
    root = given_path(path)
    try:
        make_folder(root)
        with write_errors(root, "cannot be read"):
            names = os.listdir(root)
    except WriteError as error:
        raise StoreError(str(error)) from error
    if MARKER in names:
        if not exist_ok:
            raise StoreError(f"{root}: already contains a store; pass exist_ok=True to open it")
        check_marker(root)
    elif all(is_temporary(name) for name in names):
        write_marker(root)
    else:
        raise StoreError(
            f"{root}: expected a new or empty folder, or a store; got a folder with other files"
        )
    return Store(root, writable=True)


def open_store(path: str | os.PathLike[str]) -> Store:
    """Open a store for reading.

    Raises
    ------
    StoreError
        If the path contains no store, or a store of a version that this fastcka cannot read.
    """
    root = given_path(path)
    check_marker(root)
    return Store(root, writable=False)
