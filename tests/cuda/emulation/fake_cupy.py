"""The few things of cupy that fastcka uses, over the emulated device instead of a true one.

Put in cupy's place in `sys.modules`. Names, signatures, meaning and deprecations are those of cupy
14.2: memory belongs to
the stream on which it was allocated, and the next allocation of its size there takes it over when
it is let go. What fastcka does not use is left out, waiting for a whole device above all.
"""

from __future__ import annotations

import ctypes
import threading
import warnings
from collections import defaultdict
from types import SimpleNamespace

import numpy as np

__all__ = ["asarray", "cuda", "from_dlpack", "ndarray"]
__version__ = "14.2.0+emulated"  # xarray reads it
_MEMORY_ALLOCATION = 2  # cudaErrorMemoryAllocation
_library: ctypes.CDLL
_current = threading.local()


def connect(path):
    """Take the module at ``path``, which holds an emulated device, for the CUDA runtime."""
    global _library
    _library = ctypes.CDLL(str(path))
    for function in (_library.cudaGetErrorName, _library.cudaGetErrorString):
        function.restype = ctypes.c_char_p


class CUDARuntimeError(RuntimeError):
    def __init__(self, status):
        self.status = status
        name, text = _library.cudaGetErrorName(status), _library.cudaGetErrorString(status)
        super().__init__(f"{name.decode()}: {text.decode()}")


class OutOfMemoryError(MemoryError):
    def __init__(self, size, total, limit=0):
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {total:,})")


def _check(status):
    if status:
        raise CUDARuntimeError(status)


def _returned(function, kind, *arguments):
    value = kind()
    _check(function(ctypes.byref(value), *arguments))
    return value.value


def _address(value):
    return ctypes.c_void_p(value)


class Device:
    def __init__(self, device=None):
        self.id = _device_in_use() if device is None else int(device)
        self._before = []

    def __enter__(self):
        self._before.append(_device_in_use())
        _check(_library.cudaSetDevice(self.id))
        return self

    def __exit__(self, *error):
        _check(_library.cudaSetDevice(self._before.pop()))

    @property
    def mem_info(self):
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        with self:
            _check(_library.cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total)))
        return free.value, total.value


def _device_in_use():
    return _returned(_library.cudaGetDevice, ctypes.c_int)


class Event:
    ptr = None  # where there is no device to make one on

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self.ptr = _returned(_library.cudaEventCreateWithFlags, ctypes.c_void_p, 0)

    def __del__(self):
        _library.cudaEventDestroy(_address(self.ptr))

    @property
    def done(self):
        return _event_query(self.ptr) == 0  # for ever False if the device failed, as cupy's is

    def synchronize(self):
        _check(_library.cudaEventSynchronize(_address(self.ptr)))


class _BaseStream:
    def __init__(self, ptr, device_id):
        self.ptr = ptr
        self.device_id = device_id

    def _here(self):
        """The stream's device, which must be the current one."""
        here = _device_in_use()
        if self.device_id not in (-1, here):
            raise RuntimeError(
                f"The device that the stream is created on ({self.device_id}) does not match "
                f"with the current device ({here})"
            )
        return here

    def __enter__(self):
        _streams(self._here()).append(self)
        return self

    def __exit__(self, *error):
        _streams(self._here()).pop()

    def record(self, event=None):
        event = event or Event()
        _event_record(event.ptr, self.ptr)
        return event

    def wait_event(self, event):
        _stream_wait_event(self.ptr, event.ptr)

    def synchronize(self):
        _check(_library.cudaStreamSynchronize(_address(self.ptr)))


class ExternalStream(_BaseStream):
    def __init__(self, ptr, device_id=-1):
        message = "ExternalStream is deprecated. Use Stream.from_external() instead"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        super().__init__(ptr, device_id)


class Stream(_BaseStream):
    ptr = None  # where there is no device to make one on
    _foreign_stream = None

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        flags = 1 if non_blocking else 0
        ptr = _returned(_library.cudaStreamCreateWithFlags, ctypes.c_void_p, flags)
        super().__init__(ptr, _device_in_use())

    @classmethod
    def from_external(cls, obj):
        version, ptr = obj.__cuda_stream__()
        if version != 0 or not isinstance(ptr, int):
            raise TypeError(f"__cuda_stream__() returned {version!r}, {ptr!r}")
        stream = cls.__new__(cls)
        _BaseStream.__init__(stream, ptr, -1)
        stream._foreign_stream = obj
        return stream

    def __del__(self):
        if self._foreign_stream is None:
            _library.cudaStreamDestroy(_address(self.ptr))


def _streams(device):
    """The stack of current streams of this thread on the device."""
    if not hasattr(_current, "streams"):
        _current.streams = defaultdict(lambda: [_BaseStream(0, -1)])
    return _current.streams[device]


def get_current_stream(device_id=-1):
    return _streams(_device_in_use() if device_id == -1 else device_id)[-1]


class MemoryPointer:
    """An allocation of the device, or a place in one that ``mem`` keeps."""

    def __init__(self, mem, offset):
        self.mem = mem
        self.ptr = mem.ptr + offset
        self.device_id = mem.device_id


class _Memory:
    """Frees the memory, in the order of the stream that it belongs to, with its last pointer."""

    def __init__(self, ptr, stream):
        self.ptr = ptr
        self.device_id = _device_in_use()
        self._stream = stream

    def __del__(self):
        _library.cudaFreeAsync(_address(self.ptr), _address(self._stream.ptr))


def alloc(size):
    stream = get_current_stream()
    arguments = ctypes.c_size_t(size), _address(stream.ptr)
    try:
        ptr = _returned(_library.cudaMallocAsync, ctypes.c_void_p, *arguments)
    except CUDARuntimeError as error:
        if error.status != _MEMORY_ALLOCATION:
            raise
        free, total = Device().mem_info
        raise OutOfMemoryError(size, total - free) from None
    return MemoryPointer(_Memory(ptr, stream), 0)


class _PinnedMemory:
    """Frees the memory when the last buffer on it is gone."""

    ptr = None  # where there is no device to pin memory for

    def __init__(self, size):
        self.ptr = _returned(_library.cudaHostAlloc, ctypes.c_void_p, ctypes.c_size_t(size), 0)

    def __del__(self):
        _library.cudaFreeHost(_address(self.ptr))


def alloc_pinned_memory(size):
    # A ctypes array, because before Python 3.12 only compiled classes have the buffer protocol.
    # Its size is rounded up, as that of cupy's is.
    size = -(-size // 512) * 512
    mem = _PinnedMemory(size)
    pointer = type("PinnedMemoryPointer", (ctypes.c_byte * size,), {}).from_address(mem.ptr)
    pointer.mem = mem
    pointer.ptr = mem.ptr
    return pointer


def _event_query(event):
    return _library.cudaEventQuery(_address(event))


def _event_record(event, stream):
    _check(_library.cudaEventRecord(_address(event), _address(stream)))


def _stream_wait_event(stream, event, flags=0):
    _check(_library.cudaStreamWaitEvent(_address(stream), _address(event), flags))


class _PointerAttributes(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("device", ctypes.c_int),
        ("devicePointer", ctypes.c_void_p),
        ("hostPointer", ctypes.c_void_p),
    )


def _pointer_attributes(ptr):
    attributes = _PointerAttributes()
    _check(_library.cudaPointerGetAttributes(ctypes.byref(attributes), _address(ptr)))
    return attributes


def _memcpy_async(dst, src, size, kind, stream):
    count = ctypes.c_size_t(size)
    _check(_library.cudaMemcpyAsync(_address(dst), _address(src), count, kind, _address(stream)))


def _host_register(ptr, size, flags):
    _check(_library.cudaHostRegister(_address(ptr), ctypes.c_size_t(size), flags))


def _host_unregister(ptr):
    _check(_library.cudaHostUnregister(_address(ptr)))


class ndarray:  # noqa: N801 (cupy's name)
    """An array on the emulated device; made by `asarray`, `from_dlpack` and its methods."""

    def __init__(self, array, mem):
        self._array = array  # NumPy's view of the device memory
        self.data = MemoryPointer(mem, array.ctypes.data - mem.ptr)

    shape = property(lambda self: self._array.shape)
    strides = property(lambda self: self._array.strides)
    dtype = property(lambda self: self._array.dtype)
    device = property(lambda self: Device(self.data.device_id))
    T = property(lambda self: ndarray(self._array.T, self.data.mem))

    def __getitem__(self, index):
        return ndarray(self._array[index], self.data.mem)

    def get(self):
        get_current_stream().synchronize()
        return self._array.copy()

    def max(self):
        return self.get().max()

    def min(self):
        return self.get().min()

    def astype(self, dtype):
        return asarray(self.get().astype(dtype))

    def reshape(self, *shape):
        array = self._array.reshape(*shape)
        if np.shares_memory(array, self._array):
            return ndarray(array, self.data.mem)
        return asarray(self.get().reshape(*shape))

    def __dlpack_device__(self):
        return 2, self.data.device_id

    def __dlpack__(self, *, stream=None, **options):
        """The array itself, for `from_dlpack`: there is nothing else that could read it."""
        if stream is not None:
            written = get_current_stream().record()
            _stream_wait_event(stream, written.ptr)
        return self


def asarray(a, dtype=None):
    """Copy from the host on the current stream."""
    if isinstance(a, ndarray):
        return a if dtype is None else a.astype(dtype)
    host = np.ascontiguousarray(a, dtype)
    memory = alloc(host.nbytes)
    stream = get_current_stream().ptr
    _memcpy_async(memory.ptr, host.ctypes.data, host.nbytes, runtime.memcpyHostToDevice, stream)
    bytes_there = (ctypes.c_byte * host.nbytes).from_address(memory.ptr)
    return ndarray(np.frombuffer(bytes_there, host.dtype).reshape(host.shape), memory.mem)


def from_dlpack(array, *, device=None, copy=None):
    kind, index = array.__dlpack_device__()
    here = _device_in_use()
    if (kind, index) != (2, here):
        raise BufferError(f"the array is on {kind, index}, the current device is {here}")
    return array.__dlpack__(stream=get_current_stream().ptr or 1)


runtime = SimpleNamespace(
    CUDARuntimeError=CUDARuntimeError,
    eventQuery=_event_query,
    eventRecord=_event_record,
    hostRegister=_host_register,
    hostUnregister=_host_unregister,
    memcpyAsync=_memcpy_async,
    memcpyHostToDevice=1,
    memcpyDeviceToHost=2,
    pointerGetAttributes=_pointer_attributes,
    streamWaitEvent=_stream_wait_event,
)
cuda = SimpleNamespace(
    Device=Device,
    Event=Event,
    ExternalStream=ExternalStream,
    MemoryPointer=MemoryPointer,
    Stream=Stream,
    alloc=alloc,
    alloc_pinned_memory=alloc_pinned_memory,
    get_current_stream=get_current_stream,
    memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
    runtime=runtime,
)
