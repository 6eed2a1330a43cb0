"""The weights in a checkpoint of any kind."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from fastcka.capture.contents import read_content
from fastcka.capture.finding import WEIGHT_FILES, step_in_name
from fastcka.capture.names import stripped, without_wrappers
from fastcka.capture.step_check import check_step
from fastcka.capture.weight_fields import weights_in
from fastcka.digests import arrays_digest
from fastcka.errors import CorruptFileError, InputError, UnsafeFileError
from fastcka.out_of_memory import named_shortage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch


@dataclass(frozen=True)
class Reading:
    """How the weights are found in the checkpoints of a run; see `load_state`."""

    weights_key: str | None = None
    strip: tuple[str, ...] = ()
    trust_pickle: bool = False

    @classmethod
    def of(cls, weights_key: str | None, strip: Sequence[str], trust_pickle: bool) -> Self:
        """Return the three, checked."""
        prefixes = tuple(strip)
        if isinstance(strip, str) or not all(isinstance(own, str) and own for own in prefixes):
            raise InputError(f"strip: expected a list of prefixes such as ['model'], got {strip!r}")
        return cls(weights_key, prefixes, trust_pickle)


@named_shortage("reading a checkpoint")
def load_state(
    path: str | os.PathLike[str],
    *,
    weights_key: str | None = None,
    strip: Sequence[str] = (),
    check_step: bool = True,
    trust_pickle: bool = False,
) -> dict[str, torch.Tensor]:
    """Return the weights in a checkpoint, by the names of the parameters and buffers.

    What `torch.compile`, FSDP and activation checkpointing add to names is removed, and so is the
    ``module.`` of DataParallel, DistributedDataParallel and AveragedModel where *every* name begins
    with it; `load_weights`, which knows the network, also removes it within names. A file that a
    `CheckpointRecorder` wrote has the network's names already.

    Parameters
    ----------
    path : path
        A ``.safetensors`` file; a file of `torch.save` under any other name (``.pt``, ``.pth``,
        ``.bin``, ``.ckpt``), which contains a state dict, alone or in a field, or a whole network;
        or a folder of the Hugging Face trainer with ``model.safetensors`` or
        ``pytorch_model.bin``, which may be in shards.
    weights_key : str, optional
        Which field contains the weights, such as ``"teacher"``; ``"ema.model"`` is the field
        "model" in the field "ema". By default ``model_state_dict``, ``state_dict`` or ``model``.
    strip : sequence of str, default ()
        Prefixes to remove from the names that begin with them, such as ``"model."`` of Lightning.
    check_step : bool, default True
        Refuse a file that contains another step than its name says.
    trust_pickle : bool, default False
        Load a file that contains more than tensors and plain values, such as a whole network. This
        can *run any code* that its writer chose.

    Returns
    -------
    dict of str to torch.Tensor
        On the CPU. They may be mapped from the file, which must stay as it is meanwhile.

    Raises
    ------
    InputError
        If there is no checkpoint, it contains no weights, or several fields may be meant.
    WrongStepError
        If it contains another step than its name says.
    CorruptFileError
        If a file is damaged or cut off.
    UnsafeFileError
        If loading a file could run code, and `trust_pickle` is not given.
    MissingExtraError
        If PyTorch or safetensors is not installed.
    OutOfMemoryError
        If there is not enough memory for the weights.
    """
    path = Path(path)
    fields, state = read_parts(path, Reading.of(weights_key, strip, trust_pickle))
    if check_step:
        require_named_step(path, fields)
    return state


def require_named_step(path: Path, fields: Mapping[str, Any]) -> None:
    """Raise WrongStepError if the fields of a checkpoint contradict its name."""
    named = step_in_name(path)
    if named is not None:
        check_step(path, fields, named)


def read_parts(path: Path, reading: Reading) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return the fields of a checkpoint, whatever step its name says, and its weights."""
    if path.is_dir():
        return _folder_fields(path), _of_folder(path, reading)
    return _of_file(path, reading)


def _of_file(path: Path, reading: Reading) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    content = read_content(path, trust_pickle=reading.trust_pickle)
    state, fields = weights_in(path, content, reading.weights_key)
    if fields.get("run_id") is not None and isinstance(fields.get("digest"), str):
        if fields["digest"] != weights_digest(state):
            raise CorruptFileError(f"{path}: the weights do not agree with the digest beside them")
        return fields, stripped(path, state, reading.strip) if reading.strip else state
    return fields, _plain(path, state, reading)


def _folder_fields(folder: Path) -> dict[str, Any]:
    """Return what the Hugging Face trainer notes beside the weights; {} if it notes nothing."""
    file = folder / "trainer_state.json"
    try:
        noted = json.loads(file.read_bytes())
        return {"step": int(noted["global_step"]), "epoch": noted.get("epoch")}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptFileError(f"{file}: not a trainer's state: {error!r}") from error


def weights_digest(state: Mapping[str, torch.Tensor]) -> str:
    """Changes with any name, dtype, shape or bit in a state dict; not with the order in it."""
    return arrays_digest(sorted(state.items()))


def _plain(
    path: Path, state: Mapping[str, torch.Tensor], reading: Reading
) -> dict[str, torch.Tensor]:
    if reading.strip:
        return stripped(path, state, reading.strip)
    return without_wrappers(path, state)


def _of_folder(folder: Path, reading: Reading) -> dict[str, torch.Tensor]:
    file = next((folder / name for name in WEIGHT_FILES if (folder / name).exists()), None)
    if file is None:
        raise InputError(f"{folder}: has no weights; one of {', '.join(WEIGHT_FILES)} was expected")
    if file.suffix != ".json":
        return _of_file(file, reading)[1]
    try:
        shards = json.loads(file.read_bytes())["weight_map"]
        files = {name: folder / shard for name, shard in shards.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptFileError(f"{file}: not an index of shards: {error!r}") from error
    if any(path.parent != folder for path in files.values()):
        raise UnsafeFileError(f"{file}: names shards outside of its folder")
    state: dict[str, torch.Tensor] = {}
    for path in sorted(set(files.values())):
        content = read_content(path, trust_pickle=reading.trust_pickle)
        state |= weights_in(path, content, reading.weights_key)[0]
    if lacking := sorted(files.keys() - state.keys()):
        raise CorruptFileError(f"{file}: the shards lack {lacking[0]!r} ({len(lacking)} in all)")
    return _plain(file, {name: state[name] for name in files}, reading)
