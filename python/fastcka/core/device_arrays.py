"""Arrays on a CUDA device, as views that the pass reads in place, without a copy.

The libraries that such arrays come from are located in `sys.modules`, never imported: an array of
torch can only be there if torch is. A producer's work may still be running when its array arrives
here, so a view carries the stream that the array's last write is enqueued on, and the pass waits
for that stream on the device.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastcka.arrays import MAX_EXACT, exact_floats, refuse_special_tensor
from fastcka.core.views import ITEMSIZE, NATIVE, DeviceView, View, check_shape, check_torch_dtype
from fastcka.errors import DeviceError, InputError

#: DLPack's types of CUDA memory: kDLCUDA, kDLCUDAManaged.
DLPACK_CUDA = (2, 13)


def on_device(x: Any) -> bool:
    """Whether ``x`` is an array of torch, cupy or a DLPack library in a CUDA device's memory."""
    if isinstance(x, np.ndarray):
        return False
    torch, cupy = sys.modules.get("torch"), sys.modules.get("cupy")
    if torch is not None and isinstance(x, torch.Tensor):
        return bool(x.device.type == "cuda")
    if cupy is not None and isinstance(x, cupy.ndarray):
        return True
    return hasattr(x, "__dlpack_device__") and int(x.__dlpack_device__()[0]) in DLPACK_CUDA


def device_view(x: Any, name: str) -> DeviceView:
    """View an array for which `on_device` holds as (n_examples, n_features).

    Axes after the first are flattened, and integers become floating point, on the device and by the
    library of the array; such arrays, and those that cannot be flattened in place, are copied.

    Raises
    ------
    InputError
        For fewer than two axes, an empty axis, or values that are not real numbers.
    DeviceError
        For an array of another library than torch and cupy where cupy cannot read it.
    """
    torch, cupy = sys.modules.get("torch"), sys.modules.get("cupy")
    if torch is not None and isinstance(x, torch.Tensor):
        return _of_torch(torch, x, name)
    if cupy is None or not isinstance(x, cupy.ndarray):
        from fastcka.core.cuda.session import read_dlpack

        cupy, x = read_dlpack(x, name)
    return _of_cupy(cupy, x, name)


def plain_views() -> dict[type, Callable[[Any], DeviceView | None]]:
    """Return, for the array classes of torch and cupy, a function that views an array in place.

    The function takes a tenth of the time of `device_view`. It returns None if the array is not on
    a device, or has to be converted. Use it for one call only: it asks for a stream once.
    """
    views: dict[type, Callable[[Any], DeviceView | None]] = {}
    if (torch := sys.modules.get("torch")) is not None:
        views[torch.Tensor] = _PlainTensors(torch).view
    if (cupy := sys.modules.get("cupy")) is not None:
        views[cupy.ndarray] = _PlainCupyArrays(cupy).view
    return views


class _PlainTensors:
    """Views of tensors of torch."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._dtypes = {getattr(torch, name, None): name for name in ITEMSIZE}
        self._streams: dict[int, int] = {}

    def view(self, x: Any) -> DeviceView | None:
        if not x.is_cuda or x.is_nested or x.is_quantized or x.layout != self._torch.strided:
            return None
        dtype = self._dtypes.get(x.dtype)
        shape = x.shape
        if dtype is None or len(shape) != 2 or 0 in shape or x.is_neg():
            return None
        device = x.get_device()
        stream = self._streams.get(device)
        if stream is None:
            stream = self._torch.cuda.current_stream(device).cuda_stream
            self._streams[device] = stream
        (n, d), (rows, columns), size = shape, x.stride(), ITEMSIZE[dtype]
        return DeviceView(x, x.data_ptr(), n, d, rows * size, columns * size, dtype, device, stream)


class _PlainCupyArrays:
    """Views of arrays of cupy."""

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy
        self._streams: dict[int, int] = {}

    def view(self, x: Any) -> DeviceView | None:
        dtype = NATIVE.get(x.dtype)
        shape = x.shape
        if dtype is None or len(shape) != 2 or 0 in shape:
            return None
        memory = x.data
        device = memory.device_id
        stream = self._streams.get(device)
        if stream is None:
            stream = _current_stream(self._cupy, device)
            self._streams[device] = stream
        (n, d), (rows, columns) = shape, x.strides
        return DeviceView(x, memory.ptr, n, d, rows, columns, dtype, device, stream)


def common_device(views: Sequence[View], names: Sequence[str]) -> int | None:
    """The one device that the views on a device share; None if all are on the CPU."""
    devices = {view.device if isinstance(view, DeviceView) else None for view in views} - {None}
    if len(devices) < 2:
        return devices.pop() if devices else None
    located = [
        (view.device, name)
        for view, name in zip(views, names, strict=True)
        if isinstance(view, DeviceView)
    ]
    first, name = located[0]
    other = next(each for each in located if each[0] != first)
    raise InputError(
        f"{name} is on cuda:{first} and {other[1]} on cuda:{other[0]}: move them to one device"
    )


def _of_torch(torch: Any, x: Any, name: str) -> DeviceView:
    refuse_special_tensor(x, name)
    check_shape(tuple(x.shape), name)
    x = x.detach().resolve_neg()
    dtype = str(x.dtype).removeprefix("torch.")
    check_torch_dtype(dtype, name)
    if dtype not in ITEMSIZE:
        x = _floats_of_torch(torch, x, name)
        dtype = str(x.dtype).removeprefix("torch.")
    x = x.reshape(x.shape[0], -1)
    size = x.element_size()
    return DeviceView(
        owner=x,
        address=x.data_ptr(),
        n_examples=x.shape[0],
        n_features=x.shape[1],
        row_stride=x.stride(0) * size,
        column_stride=x.stride(1) * size,
        dtype=dtype,
        device=x.device.index,
        stream=torch.cuda.current_stream(x.device).cuda_stream,
    )


def _floats_of_torch(torch: Any, x: Any, name: str) -> Any:
    """Integers as float32 or float64 on their device, or as `exact_floats` makes them."""
    if x.element_size() <= 4:
        return x.to(torch.float32 if x.element_size() <= 2 else torch.float64)
    signed = x.view(torch.int64)  # of uint64, which torch hardly computes with, the bits
    lowest = 0 if str(x.dtype) == "torch.uint64" else -MAX_EXACT
    if lowest <= int(signed.min()) and int(signed.max()) <= MAX_EXACT:
        return x.to(torch.float64)
    # Such integers are rare: the host's arithmetic has what is needed.
    return torch.from_numpy(exact_floats(x.cpu().numpy(), name)).to(x.device)


def _of_cupy(cupy: Any, x: Any, name: str) -> DeviceView:
    check_shape(tuple(x.shape), name)
    stream = _current_stream(cupy, x.device.id)
    with cupy.cuda.Device(x.device.id):
        if x.dtype.name not in ITEMSIZE:
            if x.dtype.kind not in "biu":
                raise InputError(f"{name} must hold real numbers, got dtype {x.dtype}")
            x = _floats_of_cupy(cupy, x, name)
        x = x.reshape(x.shape[0], -1)
    return DeviceView(
        owner=x,
        address=x.data.ptr,
        n_examples=x.shape[0],
        n_features=x.shape[1],
        row_stride=x.strides[0],
        column_stride=x.strides[1],
        dtype=x.dtype.name,
        device=x.device.id,
        stream=stream,
    )


def _current_stream(cupy: Any, device: int) -> int:
    with cupy.cuda.Device(device):
        return int(cupy.cuda.get_current_stream().ptr)


def _floats_of_cupy(cupy: Any, x: Any, name: str) -> Any:
    if x.dtype.itemsize <= 2:
        return x.astype("float32")
    if x.dtype.itemsize > 4 and (int(x.max()) > MAX_EXACT or int(x.min()) < -MAX_EXACT):
        return cupy.asarray(exact_floats(x.get(), name))
    return x.astype("float64")


def refuse_device_views(views: Sequence[View], names: Sequence[str], why: str) -> None:
    """Raise `DeviceError` for the first view that is not on the CPU."""
    for view, name in zip(views, names, strict=True):
        if isinstance(view, DeviceView):
            raise DeviceError(
                f"{name} is on cuda:{view.device}, and {why}: copy it to the host first "
                f"(of torch by .cpu(), of cupy by .get())"
            )
