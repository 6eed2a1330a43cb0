"""The store: a folder of representations, one file for each model and step."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from fastcka.errors import InputError, KeyExistsError, StoreError, UnknownKeyError, WriteError
from fastcka.files import is_temporary, make_folder, write_errors
from fastcka.near_misses import near_misses
from fastcka.out_of_memory import named_shortage
from fastcka.store.file.contents import checked_content
from fastcka.store.file.format import MARKER, FileHeader, step_path
from fastcka.store.file.jsontext import factor_difference
from fastcka.store.file.key import Examples, Key, LayerInfo
from fastcka.store.file.marker import check_marker, write_marker
from fastcka.store.file.reader import open_step
from fastcka.store.file.target import check_rows, checked_target
from fastcka.store.file.writer import write_file
from fastcka.store.headers import HeaderCache, UnreadableFile, unknown_layer
from fastcka.store.listing import step_files
from fastcka.store.verify import Finding, Verification

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray


class Store:
    """Representations on disk; made by `create_store` and `open_store`.

    Reading methods may be called from several threads at once.

    Attributes
    ----------
    path
        The store's folder.
    writable
        Whether `write` may be called.
    """

    def __init__(self, path: Path, *, writable: bool) -> None:
        self.path = path
        self.writable = writable
        self._headers = HeaderCache(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r}, writable={self.writable})"

    def close(self) -> None:
        """Forget what was read; no file is held open between calls."""
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
        """Write all layers of one model at one step, as one file.

        The file appears whole or not at all, and is on the disk when the call returns.

        Parameters
        ----------
        model, step
            Name of the training run and its training step (0 or more).
        layers
            Layer name -> (n_examples, n_features) array, in the order of the network; further
            axes are flattened after the first. NumPy arrays, torch CPU tensors, anything with
            DLPack. float16, bfloat16, float32 and float64 are stored as they are; booleans and
            integers of up to 16 bits as float32. Rows of pandas tables and xarray arrays are
            brought to the order of `example_ids` by their labels.
        example_ids
            One unique id for each row: text, bytes in UTF-8, or integers, which are stored as
            their decimal text; floats, booleans and ids of mixed kinds are refused. By default the
            labels of the layers. Without labels the rows are named by their positions, "0" to
            "n-1", and marked so in the file: they are compared only with rows of as many examples
            that are named in the same way.
        example_columns
            Further columns for filters: name -> n strings, booleans, integers or floats.
        factors
            What tells this model from others (family, variant, seed, tasks ...): scalars or
            lists of scalars, the same at every step of the model. A part of the key (model, step,
            layer) and a column of every table of results (group, estimator ...) name no factor.
        provenance
            Where the representations come from; anything that JSON holds.
        layer_attributes
            Layer name -> {"pooling": ..., "io": ...}, either or both.
        overwrite
            Replace this model's step if the store holds it.

        Raises
        ------
        InputError
            If an argument is not as above, or a layer holds NaN or infinities.
        KeyExistsError
            If the store holds this model's step and `overwrite` is false.
        StoreError
            If the store is open for reading only, or the file cannot be written.
        """
        if not self.writable:
            raise StoreError(
                f"{self.path}: open for reading only; create_store(path, exist_ok=True) writes"
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
        taken = f"{self.path} holds {name}; overwrite=True replaces it"
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
                f"{self.path}: another writer has begun {name}; if none is at work, delete "
                f"{error.filename}, which it left"
            ) from None

    def keys(self) -> list[Key]:
        """Return the keys of all representations, by model, step and position of the layer.

        Raises
        ------
        StoreError
            If a file is damaged; `verify` lists all that are, `inventory` goes on without them.
        """
        keys, unreadable = self.inventory()
        if unreadable:
            raise unreadable[0].error
        return keys

    @named_shortage("reading the headers of a store")
    def inventory(self) -> tuple[list[Key], list[UnreadableFile]]:
        """Return the keys of all representations in readable files, and the unreadable files."""
        headers, unreadable = self._headers.scan()
        return [Key(own.model, own.step, layer.name) for own in headers for layer in own.layers], (
            unreadable
        )

    def models(self) -> list[str]:
        """Return the names of all models, sorted."""
        return list(dict.fromkeys(key.model for key in self.keys()))

    def steps(self, model: str) -> list[int]:
        """Return the steps of a model, in increasing order."""
        headers, errors = self._of_model(model)
        if errors:
            raise errors[0]
        return [header.step for header in headers]

    def factors(self, model: str) -> dict[str, Any]:
        """Return the factors of a model: name -> scalar or list of scalars.

        They are the same at all its steps, so that one readable file is enough.

        Raises
        ------
        StoreError
            If the files of the model do not agree on them, or none can be read.
        """
        headers, errors = self._of_model(model)
        if not headers:
            raise errors[0]
        first, *others = headers
        for header in others:
            difference = factor_difference(first.factors, header.factors)
            if difference is not None:
                name, one, other = difference
                raise StoreError(
                    f"{self.path}: model {model!r}: factor {name!r} is {one} at step "
                    f"{first.step} and {other} at step {header.step}"
                )
        return copy.deepcopy(first.factors)

    def provenance(self, model: str, step: int) -> dict[str, Any]:
        """Return what was written as the provenance of a model's step."""
        return copy.deepcopy(self._headers.of_file(self._existing(model, step)).provenance)

    @named_shortage("reading the headers of a store")
    def info(self, key: Key) -> LayerInfo:
        """Return shape, format, digest and file of a representation, without reading its values."""
        path = self._existing(key.model, key.step)
        header = self._headers.of_file(path)
        for layer in header.layers:
            if layer.name == key.layer:
                return LayerInfo(
                    Key(*key),
                    header.n_examples,
                    header.examples_digest,
                    layer.n_features,
                    layer.dtype,
                    layer.digest,
                    path,
                    header.positional_ids,
                    layer.pooling,
                    layer.io,
                )
        raise unknown_layer(key, [layer.name for layer in header.layers])

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
            Its name.
        out
            A writable float32 or float64 array of shape (n_examples, n_features), any strides, to
            fill instead of making a new one. Values are converted to its format.
        rows
            Positions of the examples to read, (n_rows,), in the order wanted; all as stored by
            default. `out` then has n_rows rows.

        Returns
        -------
        ndarray
            `out` if given, else a new array of this shape: float32 for bfloat16, which is exact,
            and else of the stored format.

        Raises
        ------
        InputError
            If `out` or `rows` does not fit, or a float64 value overflows its float32.
        UnknownKeyError
            If the store holds no such representation.
        CorruptFileError, UnsafeFileError, FormatVersionError
            If its file is not what the format says. The values passed their checksums if there
            is no error; after one, what `out` holds means nothing.
        """
        key = Key.of(key)
        path = self._existing(key.model, key.step)
        with self._headers.opened(path, key) as (file, chunks):
            if rows is not None:
                check_rows(rows, chunks.n_examples, key)
            n_rows = chunks.n_examples if rows is None else len(rows)
            out = checked_target(out, (n_rows, chunks.n_features), chunks.dtype, key)
            chunks.read(path, file, out, rows)
        return out

    @named_shortage("reading the examples of a representation")
    def examples(self, key: Key) -> Examples:
        """Return the ids and columns of a representation's examples (rows)."""
        path = self._existing(key.model, key.step)
        with open_step(path) as reader:
            self._headers.position(reader, key)
            return reader.examples.examples()

    def examples_fingerprint(self, key: Key, columns: Sequence[str]) -> str:
        """Return a digest of the examples' ids and of some columns, without decoding them.

        Equal only for the same ids in the same order with the same values in ``columns``, of which
        a column that is not there is one value.
        """
        path = self._existing(key.model, key.step)
        ids = self._headers.of_file(path).examples_digest
        if not columns:
            return ids
        with open_step(path) as reader:
            return f"{ids}-{reader.examples.columns_digest(columns)}"

    def verify(self) -> list[Finding]:
        """Read every file in full and return what was found: one finding a file, at least."""
        return list(self.iter_verify())

    def iter_verify(self) -> Verification:
        """Return the checks of `verify` as an iterable with a length, for a progress bar."""
        return Verification(self.path)

    def _of_model(self, model: str) -> tuple[list[FileHeader], list[StoreError]]:
        headers, errors = self._headers.of_model(model)
        if not headers and not errors:
            raise self._unknown_model(model)
        return headers, errors

    def _existing(self, model: str, step: int) -> Path:
        path = step_path(self.path, model, step)
        if os.path.lexists(path):
            return path
        steps = [file.step for file in step_files(self.path, model)]
        if not steps:
            raise self._unknown_model(model)
        nearest = sorted(sorted(steps, key=lambda other: abs(other - step))[:8])
        raise UnknownKeyError(
            f"{self.path}: model {model!r} has no step {step}; of its {len(steps)} steps the "
            f"nearest are {nearest}"
        )

    def _unknown_model(self, model: str) -> UnknownKeyError:
        models = list(dict.fromkeys(key.model for key in self.inventory()[0]))
        return UnknownKeyError(
            f"{self.path}: no model {model!r}{near_misses(model, models, heading='it has')}"
        )

    def _check_factors(self, model: str, step: int, factors: Mapping[str, Any]) -> None:
        """Refuse factors that differ from those at the model's other steps."""
        for header in self._headers.of_model(model)[0]:
            difference = factor_difference(factors, header.factors)
            if header.step != step and difference is not None:
                name, new, old = difference
                raise InputError(
                    f"factors[{name!r}]: got {new}, but model {model!r} has {old} at step "
                    f"{header.step}; a model's factors are the same at all its steps"
                )


def create_store(path: str | os.PathLike[str], *, exist_ok: bool = False) -> Store:
    """Make a store, open for writing and reading.

    Parameters
    ----------
    path
        Its folder: new, or empty. Parent folders are made.
    exist_ok
        Open the store for writing if it is there already.

    Raises
    ------
    StoreError
        If there is a store already and `exist_ok` is false, or the folder holds something else.
    """
    root = Path(path)
    try:
        make_folder(root)
        with write_errors(root, "cannot be read"):
            names = os.listdir(root)
    except WriteError as error:
        raise StoreError(str(error)) from error
    if MARKER in names:
        if not exist_ok:
            raise StoreError(
                f"{root}: a store is there already; exist_ok=True opens it for writing"
            )
        check_marker(root)
    elif all(is_temporary(name) for name in names):
        write_marker(root)
    else:
        raise StoreError(f"{root}: not a store and not empty; expected a new or empty folder")
    return Store(root, writable=True)


def open_store(path: str | os.PathLike[str]) -> Store:
    """Open a store for reading.

    Raises
    ------
    StoreError
        If there is none at this path, or it is of a version that this fastcka cannot read.
    """
    root = Path(path)
    check_marker(root)
    return Store(root, writable=False)
