"""The names of devices."""

from __future__ import annotations

import re
import sys
from typing import Final, Protocol

from fastcka.errors import InputError

#: All GPUs of the machine.
EVERY_GPU: Final = "cuda:all"

_NAME = re.compile(r"auto|cpu|cuda(?::(?:all|\d{1,4}))?")


class TorchDevice(Protocol):
    """A `torch.device`."""

    @property
    def type(self) -> str:
        """Return "cpu" or "cuda"; others are refused."""

    @property
    def index(self) -> int:
        """Return the number of the GPU; None for the one that torch uses."""


Device = str | TorchDevice


def checked_device(device: Device) -> str:
    """Return the name of a device, also of a `torch.device`; the device is not tested.

    Raises
    ------
    InputError
        If ``device`` is not the name of a device.
    """
    name = device if isinstance(device, str) else _name_by_torch(device)
    if not _NAME.fullmatch(name):
        raise InputError(
            "device must be 'auto', 'cpu', 'cuda', 'cuda:<number>', 'cuda:all' or a torch.device "
            f"of the CPU or a GPU, got {device!r}"
        )
    return name


def _name_by_torch(device: object) -> str:
    """Return the name of a `torch.device`; empty for anything else."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(device, torch.device):
        return ""
    return "cpu" if device.type == "cpu" else str(device)


def gpu_index(device: str) -> int:
    """Return the index of the GPU that computes one group on ``device``: the first by default."""
    number = device.partition(":")[2]
    return int(number) if number.isdecimal() else 0
