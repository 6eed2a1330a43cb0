"""The errors that fastcka raises on purpose, and its warnings."""

from __future__ import annotations

from typing import Any


class FastckaError(Exception):
    """Base of all errors raised by fastcka; ``except FastckaError`` catches them all."""


class InputError(FastckaError, ValueError):
    """An argument is invalid; the message names it, what was expected and what was given."""


class DeviceError(FastckaError, RuntimeError):
    """The requested device cannot be used on this machine; the message gives the reason."""


class InternalError(FastckaError, RuntimeError):
    """A result cannot be right. The fault is in fastcka, never in the data."""


class OutOfMemoryError(FastckaError, MemoryError):
    """There is not enough memory; the message gives the bytes needed, those free and a remedy."""


class MissingExtraError(FastckaError, ImportError):
    """An optional library is not installed; the message names it and the extra that installs it."""

    @classmethod
    def of(cls, what: str, library: str, extra: str) -> MissingExtraError:
        """Return the error for ``what``, which needs a library that an extra installs."""
        return cls(
            f"{what} needs {library}, which is not installed: install it, or fastcka with its "
            f"[{extra}] extra"
        )


class NetworkError(FastckaError, RuntimeError):
    """A network raised an exception in its forward pass; the message names the layer and inputs."""


class WriteError(FastckaError, OSError):
    """A file or folder cannot be written, made or removed; the message names it and the reason.

    Attributes
    ----------
    errno
        As of `OSError`, or None.
    strerror
        What failed, and the reason of the system.
    filename
        The file or folder.
    """

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


class UnsyncedError(WriteError):
    """A file is complete under its name, but the disk did not confirm its folder.

    Readers see the file; a power cut may lose it.
    """


class StoreError(FastckaError):
    """A representation store, or a file in it, cannot be used."""


class SweepError(FastckaError, ValueError):
    """A sweep is ambiguous or empty, or it contradicts its store."""


class SweepConfigError(SweepError):
    """A sweep's YAML file, or a field in it, is invalid."""


class LedgerError(SweepError):
    """A sweep's ledger, or its folder, cannot be used; the message gives the reason."""


class BusyFolderError(LedgerError):
    """Another run is writing in the output folder."""


class ClusterError(SweepError):
    """The workers of a sweep cannot be used; the message gives the reason and a remedy."""


class DamagedGroupError(LedgerError):
    """The values of a group in a ledger do not match their checksum."""


class FailedGroupsError(SweepError):
    """Some groups of a sweep failed. The results of all other groups are written and valid.

    Attributes
    ----------
    result
        The `fastcka.sweep.SweepResult` of the run; `failed` lists the failed groups with reasons.
    """

    def __init__(self, message: str, result: Any) -> None:
        super().__init__(message)
        self.result = result


class DegenerateWarning(UserWarning):
    """A similarity is undefined, for example without variance, and is returned as NaN."""


class CheckpointWarning(UserWarning):
    """A planned checkpoint of a training run was not saved."""


class UnknownKeyError(StoreError):
    """The store or file does not contain the requested model, step, layer or array."""


class NoStoreError(StoreError):
    """The path of a store is not that of a folder."""


class KeyExistsError(StoreError):
    """The store already contains this model and step, and `overwrite` is False."""


class CorruptFileError(StoreError):
    """A file is damaged, cut off, or does not follow its format."""


class UnsafeFileError(StoreError):
    """A file uses something unsafe: links, other files, code, or far too much memory."""


class FormatVersionError(StoreError):
    """A store or file has a format version that this fastcka cannot read."""


class FilterError(InputError):
    """An example filter is invalid, names an unknown field, or takes too long."""


class WrongStepError(InputError):
    """The step in a checkpoint differs from the step in its name.

    Attributes
    ----------
    step
        The step in the file.
    """

    def __init__(self, message: str, step: int) -> None:
        super().__init__(message)
        self.step = step


class ModelsFileError(InputError):
    """A models.yaml, or an entry in it, is invalid."""


class PairConfigError(InputError):
    """The configuration of a pair, or a key in it, is invalid."""


class ImportRefusedError(InputError):
    """A layer or step of a tree cannot be imported.

    Attributes
    ----------
    reason
        A few words that are the same for all refusals of one kind, so that they can be counted.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
