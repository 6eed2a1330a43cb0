"""The weights in a checkpoint of any kind, without running what a pickle may ask for."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastcka.capture.digests import digest_of
from fastcka.capture.finding import WEIGHT_FILES
from fastcka.capture.torch_library import require_torch
from fastcka.capture.wrappers import without_prefixes
from fastcka.errors import (
    CorruptFileError,
    InputError,
    MissingExtraError,
    OutOfMemoryError,
    UnsafeFileError,
)
from fastcka.out_of_memory import named_shortage, raise_if_shortage, require_room
from fastcka.store.foreign_torch import load_pt

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

#: Under which key a checkpoint may hold its weights: fastcka's and many scripts', Lightning's.
WEIGHT_KEYS: Final = ("model_state_dict", "state_dict")


@named_shortage("reading a checkpoint")
def load_state(
    path: str | os.PathLike[str], *, trust_pickle: bool = False
) -> dict[str, torch.Tensor]:
    """Return the weights in a checkpoint, by the names of the parameters and buffers.

    Prefixes that `torch.compile`, DataParallel or DistributedDataParallel put before *every* name
    are taken off, unless the file was written by a `CheckpointRecorder`, which did so itself.

    Parameters
    ----------
    path : path
        A ``.safetensors`` file; a file of `torch.save` (``.pt``, ``.bin``, ``.ckpt``), with the
        weights under ``model_state_dict`` or ``state_dict``, or of the weights alone; or a folder
        of the Hugging Face trainer with ``model.safetensors`` or ``pytorch_model.bin``, which may
        be in shards.
    trust_pickle : bool, default False
        Load a file that holds more than tensors and plain values, which can *run any code* that
        its writer chose.

    Returns
    -------
    dict of str to torch.Tensor
        On the CPU. They may be mapped from the file, which must stay as it is meanwhile.

    Raises
    ------
    InputError
        If there is nothing there, or it holds no weights.
    CorruptFileError
        If a file is damaged or cut off.
    UnsafeFileError
        If loading a file could run code, and `trust_pickle` is not given.
    MissingExtraError
        If PyTorch or safetensors is not installed.
    """
    path = Path(path)
    if path.is_dir():
        return _of_folder(path, trust_pickle=trust_pickle)
    return state_in(path, read_content(path, trust_pickle=trust_pickle))


def weights_digest(state: Mapping[str, torch.Tensor]) -> str:
    """Changes with any name, dtype, shape or bit in a state dict; not with the order in it."""
    return digest_of(sorted(state.items()))


def read_content(path: Path, *, trust_pickle: bool = False) -> dict[str, Any]:
    """Return the dict that a checkpoint file holds; tensors are on the CPU."""
    torch = require_torch()
    if not path.is_file():
        raise InputError(f"{path} is not a file; a checkpoint was expected there")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    zipped = _is_zip(path)
    try:
        if trust_pickle:
            content = torch.load(path, map_location="cpu", weights_only=False)
        else:
            content = load_pt(path)
    except OutOfMemoryError:
        raise
    except Exception as error:  # of every kind, OSError too, on damaged files and trusted pickles
        raise_if_shortage(error, f"reading {path}")
        if isinstance(error, UnsafeFileError) and zipped:  # else it is, most often, no checkpoint
            raise UnsafeFileError(
                f"{error}; if you trust whoever wrote it: trust_pickle=True, or --trust-pickle"
            ) from error
        raise CorruptFileError(f"{path}: cannot be read as a checkpoint: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds {type(content).__name__}, not a dict of checkpoint fields")
    return content


def state_in(path: Path, content: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Return the weights in the dict that ``path`` holds, checked if a recorder wrote it."""
    state = _tensors_in(path, content)
    if content.get("run_id") is None:
        return without_prefixes(state)
    if content.get("digest") != weights_digest(state):
        raise CorruptFileError(f"{path}: the weights are not those that its digest is of")
    return state


def _read_safetensors(path: Path) -> dict[str, Any]:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise MissingExtraError.of(f"reading {path}", "safetensors", "torch") from error
    try:
        require_room(path.stat().st_size, f"reading {path}")
        with safe_open(path, framework="pt", device="cpu") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}
            noted = file.metadata() or {}
        # A recorder notes its fields as JSON; what others note is no part of a checkpoint.
        fields = {key: json.loads(text) for key, text in noted.items() if key != "format"}
    except SafetensorError as error:
        raise CorruptFileError(f"{path}: cannot be read as a checkpoint: {error}") from error
    except ValueError:
        fields = {}
    return {**fields, "model_state_dict": state}


def _tensors_in(path: Path, content: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    import torch

    key = next((key for key in WEIGHT_KEYS if key in content), None)
    state = content if key is None else content[key]
    if not isinstance(state, dict) or not state:
        came = "an empty dict" if state == {} else type(state).__name__
        where = "" if key is None else f" under {key!r}"
        raise InputError(f"{path}: expected tensors by name{where}, came {came}")
    if any(not isinstance(name, str) for name in state):
        raise InputError(f"{path}: expected names of tensors, came {next(iter(state))!r}")
    other = next((name for name in state if not isinstance(state[name], torch.Tensor)), None)
    if other is None:
        return dict(state)
    if key is None:
        raise InputError(
            f"{path}: has neither of the keys {' and '.join(map(repr, WEIGHT_KEYS))} and is no "
            f"dict of tensors; it has {', '.join(sorted(map(repr, content)))}"
        )
    raise InputError(
        f"{path}: {key}[{other!r}] is {type(state[other]).__name__}, not a tensor; save the "
        "weights without it"
    )


def _of_folder(folder: Path, *, trust_pickle: bool) -> dict[str, torch.Tensor]:
    file = next((folder / name for name in WEIGHT_FILES if (folder / name).exists()), None)
    if file is None:
        raise InputError(f"{folder}: has no weights; one of {', '.join(WEIGHT_FILES)} was expected")
    if file.suffix != ".json":
        return state_in(file, read_content(file, trust_pickle=trust_pickle))
    try:
        shards = json.loads(file.read_bytes())["weight_map"]
        files = {name: folder / shard for name, shard in shards.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptFileError(f"{file}: not an index of shards: {error!r}") from error
    if any(path.parent != folder for path in files.values()):
        raise UnsafeFileError(f"{file}: names shards outside of its folder")
    state: dict[str, torch.Tensor] = {}
    for path in sorted(set(files.values())):
        state |= _tensors_in(path, read_content(path, trust_pickle=trust_pickle))
    if lacking := sorted(files.keys() - state.keys()):
        raise CorruptFileError(f"{file}: the shards lack {lacking[0]!r} ({len(lacking)} in all)")
    return without_prefixes({name: state[name] for name in files})


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"
