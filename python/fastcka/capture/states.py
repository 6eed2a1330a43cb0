"""Reading the weights from a checkpoint of any kind."""

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
class WeightOptions:
    """How the weights in a checkpoint are found and read; see `load_state`."""

    weights_key: str | None = None
    strip: tuple[str, ...] = ()
    trust_pickle: bool = False

    @classmethod
    def checked(cls, weights_key: str | None, strip: Sequence[str], trust_pickle: bool) -> Self:
        """Return the options after checking the type of ``strip``."""
        prefixes = tuple(strip)
        if isinstance(strip, str) or not all(isinstance(text, str) and text for text in prefixes):
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

    The parts that `torch.compile`, FSDP and activation checkpointing add to names are removed. The
    ``module.`` of DataParallel, DistributedDataParallel and AveragedModel is removed if *every*
    name begins with it; `load_weights`, which knows the network, also removes it within names. A
    file from a `CheckpointRecorder` already has the network's names.

    Parameters
    ----------
    path : path
        A ``.safetensors`` file; a file from `torch.save` with any other suffix (``.pt``, ``.pth``,
        ``.bin``, ``.ckpt``) that contains a state dict, a state dict in a field, or a whole
        network; or a folder from the Hugging Face trainer with ``model.safetensors`` or
        ``pytorch_model.bin``, which may consist of shards.
    weights_key : str, optional
        The field that contains the weights, such as ``"teacher"``; ``"ema.model"`` is the field
        "model" in the field "ema". Default: ``model_state_dict``, ``state_dict`` or ``model``.
    strip : sequence of str, default ()
        Prefixes to remove from the beginning of names, such as ``"model."`` from Lightning.
    check_step : bool, default True
        Refuse a file whose step differs from the step in its name.
    trust_pickle : bool, default False
        Load a file that contains more than tensors and plain values, such as a whole network. Such
        a file *can run any code*. Use this only for files you trust.

    Returns
    -------
    dict of str to torch.Tensor
        The weights, on the CPU. They may be mapped from the file, which must not change while they
        are in use.

    Raises
    ------
    InputError
        If there is no checkpoint, it contains no weights, or several fields may contain them.
    WrongStepError
        If the step in the file differs from the step in its name.
    CorruptFileError
        If a file is damaged or cut off.
    UnsafeFileError
        If loading a file could run code and ``trust_pickle`` is False.
    MissingExtraError
        If PyTorch or safetensors is not installed.
    OutOfMemoryError
        If there is not enough memory for the weights.
    """
    path = Path(path)
    fields, state = read_parts(path, WeightOptions.checked(weights_key, strip, trust_pickle))
    if check_step:
        require_named_step(path, fields)
    return state


def require_named_step(path: Path, fields: Mapping[str, Any]) -> None:
    """Raise WrongStepError if the fields of a checkpoint contradict its name."""
    named = step_in_name(path)
    if named is not None:
        check_step(path, fields, named)


def read_parts(
    path: Path, options: WeightOptions
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return the fields and the weights of a checkpoint, without checking its step."""
    if path.is_dir():
        return _folder_fields(path), _of_folder(path, options)
    return _of_file(path, options)


def _of_file(path: Path, options: WeightOptions) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    content = read_content(path, trust_pickle=options.trust_pickle)
    state, fields = weights_in(path, content, options.weights_key)
    if fields.get("run_id") is not None and isinstance(fields.get("digest"), str):
        if fields["digest"] != weights_digest(state):
            raise CorruptFileError(f"{path}: the weights do not match the digest in the file")
        return fields, stripped(path, state, options.strip) if options.strip else state
    return fields, _plain(path, state, options)


def _folder_fields(folder: Path) -> dict[str, Any]:
    """Return step and epoch from the Hugging Face trainer's state file; {} without such a file."""
    file = folder / "trainer_state.json"
    try:
        noted = json.loads(file.read_bytes())
        return {"step": int(noted["global_step"]), "epoch": noted.get("epoch")}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptFileError(f"{file}: not a trainer's state: {error!r}") from error


def weights_digest(state: Mapping[str, torch.Tensor]) -> str:
    """Return a digest of the names, dtypes, shapes and bits of a state dict, in any order."""
    return arrays_digest(sorted(state.items()))


def _plain(
    path: Path, state: Mapping[str, torch.Tensor], options: WeightOptions
) -> dict[str, torch.Tensor]:
    if options.strip:
        return stripped(path, state, options.strip)
    return without_wrappers(path, state)


def _of_folder(folder: Path, options: WeightOptions) -> dict[str, torch.Tensor]:
    file = next((folder / name for name in WEIGHT_FILES if (folder / name).exists()), None)
    if file is None:
        raise InputError(f"{folder}: no weights; expected one of {', '.join(WEIGHT_FILES)}")
    if file.suffix != ".json":
        return _of_file(file, options)[1]
    try:
        shards = json.loads(file.read_bytes())["weight_map"]
        files = {name: folder / shard for name, shard in shards.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CorruptFileError(f"{file}: not an index of shards: {error!r}") from error
    if any(path.parent != folder for path in files.values()):
        raise UnsafeFileError(f"{file}: expected shards in the same folder, got others")
    state: dict[str, torch.Tensor] = {}
    for path in sorted(set(files.values())):
        content = read_content(path, trust_pickle=options.trust_pickle)
        state |= weights_in(path, content, options.weights_key)[0]
    if lacking := sorted(files.keys() - state.keys()):
        raise CorruptFileError(f"{file}: the shards lack {lacking[0]!r} ({len(lacking)} in all)")
    return _plain(file, {name: state[name] for name in files}, options)
