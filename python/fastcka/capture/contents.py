"""Reading the content of a checkpoint file without running code from a pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastcka.capture.torch_library import require_torch
from fastcka.errors import (
    CorruptFileError,
    InputError,
    MissingExtraError,
    OutOfMemoryError,
    UnsafeFileError,
)
from fastcka.out_of_memory import raise_if_shortage, require_room
from fastcka.store.foreign.torch_files import load_pt

if TYPE_CHECKING:
    import torch

_TRUST = "if you trust its author, give trust_pickle=True or --trust-pickle"


def read_content(path: Path, *, trust_pickle: bool = False) -> dict[str, Any] | torch.nn.Module:
    """Return the dict, or the network, that a checkpoint file contains; tensors are on the CPU.

    Raises
    ------
    InputError
        If the path is no file, the file cannot be opened, or it contains anything else.
    CorruptFileError, UnsafeFileError, MissingExtraError, OutOfMemoryError
        See `fastcka.capture.load_state`.
    """
    torch = require_torch()
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "no such file"
        raise InputError(f"{path}: {kind}; expected a checkpoint file")
    try:
        with path.open("rb") as file:
            zipped = file.read(4) == b"PK\x03\x04"
    except OSError as error:
        raise InputError(f"{path}: cannot be opened: {error.strerror or error}") from error
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    try:
        if trust_pickle:
            content = torch.load(path, map_location="cpu", weights_only=False)
        else:
            content = load_pt(path)
    except OutOfMemoryError:
        raise
    except Exception as error:  # damaged files and trusted pickles raise anything, OSError too
        raise_if_shortage(error, f"reading {path}")
        if isinstance(error, UnsafeFileError) and zipped:  # other files are rarely checkpoints
            raise UnsafeFileError(f"{error}; {_TRUST}") from error
        if trust_pickle and isinstance(error, ImportError | AttributeError):
            raise InputError(
                f"{path}: contains objects whose class cannot be imported: {error}; make their "
                "code importable (PYTHONPATH), or save only the state_dict()"
            ) from error
        raise CorruptFileError(f"{path}: cannot be read as a checkpoint: {error}") from error
    if not isinstance(content, dict | torch.nn.Module):
        raise InputError(
            f"{path}: expected a dict of checkpoint fields, a state dict, or a network, got "
            f"{type(content).__name__}"
        )
    return content


def _read_safetensors(path: Path) -> dict[str, Any]:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise MissingExtraError.of(f"reading {path}", "safetensors", "torch") from error
    try:
        require_room(path.stat().st_size, f"reading {path}")
        with safe_open(path, framework="pt", device="cpu") as file:
            state = {}
            for name in file.keys():
                try:
                    state[name] = file.get_tensor(name)
                except (SafetensorError, AttributeError, TypeError) as error:
                    if "Dtype" not in str(error) and isinstance(error, SafetensorError):
                        raise
                    dtype = file.get_slice(name).get_dtype()
                    raise InputError(
                        f"{path}:{name}: this PyTorch cannot read the dtype {dtype}; convert the "
                        "tensor to float32 or bfloat16 with the library that wrote it"
                    ) from error
            noted = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CorruptFileError(f"{path}: cannot be read as a checkpoint: {error}") from error
    noted.pop("format", None)
    return {**{key: _value(text) for key, text in noted.items()}, "model_state_dict": state}


def _value(text: str) -> Any:
    """Return the value of JSON text, which a recorder writes; return any other text unchanged."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
