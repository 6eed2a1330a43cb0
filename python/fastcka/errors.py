"""Every error that fastcka raises on purpose, and the warnings."""

from __future__ import annotations

from typing import Any


class FastckaError(Exception):
    """Base of all errors raised by fastcka; ``except FastckaError`` catches them all."""


class InputError(FastckaError, ValueError):
    """An argument is not what it must be; the message names it, what was expected and what came."""


class DeviceError(FastckaError, RuntimeError):
    """A device was asked for that cannot be used here; the message says why."""


class InternalError(FastckaError, RuntimeError):
    """A result that cannot be right: a fault of fastcka, never of the data."""


class OutOfMemoryError(FastckaError, MemoryError):
    """There is not enough memory; the message says what is needed, what is free, and what to do."""


class MissingExtraError(FastckaError, ImportError):
    """An optional library is needed; the message names it and the extra that installs it."""

    @classmethod
    def of(cls, what: str, library: str, extra: str) -> MissingExtraError:
        """Say that ``what`` needs ``library``, which comes with the extra."""
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
    """A representation store, or a file in it, is not what it must be."""


class SweepError(FastckaError, ValueError):
    """A sweep is ambiguous, empty or contradicts its store."""


class SweepConfigError(SweepError):
    """A sweep's YAML file or one of its fields is not what it must be."""


class LedgerError(SweepError):
    """A sweep's ledger, or the folder that holds it, cannot be used; the message says why."""


class BusyFolderError(LedgerError):
    """Another run is writing in the output folder."""


class DamagedGroupError(LedgerError):
    """The values of one group in a ledger do not agree with their checksum."""


class FailedGroupsError(SweepError):
    """Some groups of a sweep could not be computed; the others were, and their results stand.

    Attributes
    ----------
    result
        The `fastcka.sweep.SweepResult` of the run; its `failed` says which, and why.
    """

    def __init__(self, message: str, result: Any) -> None:
        super().__init__(message)
        self.result = result


class DegenerateWarning(UserWarning):
    """A similarity is undefined (a representation without variance, say) and given as NaN."""


class CheckpointWarning(UserWarning):
    """A planned checkpoint of a training run was not saved."""


class UnknownKeyError(StoreError):
    """A model, step, layer or array that the store or file does not hold."""


class KeyExistsError(StoreError):
    """A model's step that the store already holds, and `overwrite` was not asked for."""


class CorruptFileError(StoreError):
    """A file is damaged, cut off, or not laid out as its format says."""


class UnsafeFileError(StoreError):
    """A file asks for what a data file must not: links, other files, code, a flood of memory."""


class FormatVersionError(StoreError):
    """A store or file was written in a version of the format that this fastcka cannot read."""


class FilterError(InputError):
    """An example filter cannot be read, names an unknown field, or takes too long."""


class WrongStepError(InputError):
    """A checkpoint contains another step than its name says.

    Attributes
    ----------
    found
        The step in the file.
    """

    def __init__(self, message: str, found: int) -> None:
        super().__init__(message)
        self.found = found


class ModelsFileError(InputError):
    """A models.yaml, or an entry in it, is not what it must be."""


class PairConfigError(InputError):
    """The configuration of a pair, or a key in it, is not what it must be."""


class ImportRefusedError(InputError):
    """A layer or step of a tree cannot be imported as it is.

    Attributes
    ----------
    reason
        A few words, the same for all refusals of a kind, to count them by.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
