"""Arrays on a device are read there, after the work of their producer, for every library."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from types import SimpleNamespace

import numpy as np
import pytest

import fastcka
import oracle
from checks import agrees, compared
from fastcka.core.arrays import as_view, as_views
from fastcka.core.backend import cuda_runtime
from fastcka.core.views import ITEMSIZE, DeviceView
from fastcka.errors import DeviceError, InputError
from samples import related


@pytest.fixture
def xs(rng):
    return related(rng, 100, (20, 30))


@pytest.fixture
def cupy(emulated):
    return emulated.cupy


class Tensor:
    """The part of a torch CUDA tensor that fastcka uses, on the emulated device."""

    def __init__(self, array, dtype, *, layout="strided", log=None):
        self._array = array  # from the emulated cupy
        self._name = dtype
        self._log = [] if log is None else log
        self.layout = layout
        self.is_quantized = False
        self.is_nested = False
        self.is_cuda = True
        self.shape = array.shape
        self.dtype = f"torch.{dtype}"
        self.device = SimpleNamespace(type="cuda", index=array.device.id)

    def _like(self, array, dtype=None):
        return Tensor(array, dtype or self._name, log=self._log)

    def detach(self):
        self._log.append("detach")
        return self._like(self._array)

    def resolve_neg(self):
        return self._like(self._array)

    def reshape(self, *shape):
        return self._like(self._array.reshape(*shape))

    def to(self, dtype):
        dtype = dtype.removeprefix("torch.")
        self._log.append(f"to {dtype}")
        return self._like(self._array.astype(dtype), dtype)

    def view(self, dtype):
        dtype = dtype.removeprefix("torch.")
        return Tensor(sys.modules["cupy"].asarray(self._array.get().view(dtype)), dtype)

    def min(self):
        return self._array.min()

    def max(self):
        return self._array.max()

    def cpu(self):
        return SimpleNamespace(numpy=self._array.get)

    def is_neg(self):
        return False

    def get_device(self):
        return self.device.index

    def element_size(self):
        return self._array.dtype.itemsize

    def data_ptr(self):
        return self._array.data.ptr

    def stride(self, axis=None):
        strides = [stride // self.element_size() for stride in self._array.strides]
        return tuple(strides) if axis is None else strides[axis]


#: The default stream, as torch 2.11 and others hand out a stream.
DEFAULT_STREAM = SimpleNamespace(__cuda_stream__=lambda: (0, 0))


@pytest.fixture
def torch(cupy, monkeypatch):
    """Emulated torch, whose current stream can be set."""
    state = SimpleNamespace(stream=cupy.cuda.Stream(non_blocking=True))
    module = SimpleNamespace(
        Tensor=Tensor,
        strided="strided",
        **{name: f"torch.{name}" for name in (*ITEMSIZE, "int64")},
        from_numpy=lambda array: SimpleNamespace(
            to=lambda device: Tensor(cupy.asarray(array), array.dtype.name)
        ),
        state=state,
        cuda=SimpleNamespace(
            current_stream=lambda device: SimpleNamespace(cuda_stream=state.stream.ptr)
        ),
    )
    monkeypatch.setitem(sys.modules, "torch", module)
    return module


def on_stream(torch, cupy, x):
    """Copied to the device by the current stream of torch, which has not run yet."""
    with torch.state.stream:
        return cupy.asarray(x)


@pytest.mark.parametrize("order", ["forward", "reverse"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_torch(torch, cupy, xs, monkeypatch, order, dtype):
    monkeypatch.setenv("FASTCKA_EMULATION_ORDER", order)
    xs = [x.astype(dtype) for x in xs]
    tensors = [Tensor(on_stream(torch, cupy, x), dtype) for x in xs]
    provenance = agrees(tensors, [x.astype(float) for x in xs], 2e-6).provenance
    assert provenance["device"] == "cuda:0 emulated device 0"
    assert provenance["device_reason"] == "the arrays are on it"
    assert "of them 0 s to copy from the host" in provenance["plan"]


def test_torch_is_viewed_without_a_copy(torch, cupy, xs):
    array = on_stream(torch, cupy, xs[0])
    log = []
    view = as_view(Tensor(array, "float32", log=log), "x")
    assert isinstance(view, DeviceView)
    assert (view.address, view.device) == (array.data.ptr, 0)
    assert view.stream == torch.state.stream.ptr
    assert log == ["detach"]  # so requires_grad does not matter
    strided = as_view(Tensor(array[::2, ::3], "float32"), "x")
    assert (strided.row_stride, strided.column_stride) == (2 * 20 * 4, 3 * 4)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_plain_tensors_are_viewed_at_once(torch, cupy, xs, dtype):
    bits = {"bfloat16": "uint16"}.get(dtype, dtype)
    array = on_stream(torch, cupy, xs[0].astype(bits))
    log = []
    tensors = [Tensor(each, dtype, log=log) for each in (array, array[::2, ::3], array.T)]
    views = as_views(tensors, "abc")
    assert log == []
    expected = [as_view(Tensor(each, dtype), "x") for each in (array, array[::2, ::3], array.T)]
    assert [view[1:] for view in views] == [view[1:] for view in expected]
    assert [view.owner for view in views] == tensors


def test_other_tensors_are_converted(torch, cupy, rng):
    whole = on_stream(torch, cupy, rng.integers(0, 9, (60, 12)).astype(np.int16))
    cube = on_stream(torch, cupy, rng.random((60, 3, 4)).astype(np.float32))
    flipped = Tensor(on_stream(torch, cupy, rng.random((60, 5)).astype(np.float32)), "float32")
    flipped.is_neg = lambda: True
    log = []
    tensors = [Tensor(whole, "int16", log=log), Tensor(cube, "float32", log=log), flipped]
    views = as_views(tensors, "abc")
    assert log == ["detach", "to float32", "detach"]
    assert [(view.n_features, view.dtype) for view in views] == [
        (12, "float32"),
        (12, "float32"),
        (5, "float32"),
    ]
    assert views[2].owner is not flipped  # its sign is resolved first
    with pytest.raises(InputError, match=r"^b is empty"):
        as_views([tensors[1], Tensor(cube[:0], "float32")], "ab")


def test_torch_bfloat16(torch, cupy, xs):
    # Its values as float32: the upper half of the bits.
    bits = [(x.view(np.uint32) >> 16).astype(np.uint16) for x in xs]
    exact = [(b.astype(np.uint32) << 16).view(np.float32) for b in bits]
    agrees([Tensor(on_stream(torch, cupy, b), "bfloat16") for b in bits], exact, 2e-6)


@pytest.mark.parametrize(
    ("dtype", "name", "becomes"), [("i1", "int8", "float32"), ("i8", "int64", "float64")]
)
def test_torch_integers(torch, cupy, rng, dtype, name, becomes):
    xs = [rng.integers(-9, 9, (70, 20)).astype(dtype) for _ in range(2)]
    log = []
    torch.state.stream = cupy.cuda.Stream.from_external(DEFAULT_STREAM)
    agrees([Tensor(on_stream(torch, cupy, x), name, log=log) for x in xs], xs, 2e-6)
    assert log == ["detach", f"to {becomes}"] * 2


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_torch_integers_that_float64_cannot_hold(torch, cupy, rng, dtype):
    torch.state.stream = cupy.cuda.Stream.from_external(DEFAULT_STREAM)
    xs = [rng.integers(0, 9, (70, 20)) for _ in range(2)]
    far = [(x.astype(np.uint64) + np.uint64(2**63 - 100)).astype(dtype) for x in xs]
    agrees([Tensor(on_stream(torch, cupy, x), np.dtype(dtype).name) for x in far], xs, 2e-6)
    wide = np.array([[0], [1], [2], [2**63 - 1]], dtype)
    with pytest.raises(InputError, match="in column 0: float64 cannot represent them"):
        as_view(Tensor(on_stream(torch, cupy, wide), np.dtype(dtype).name), "x")


@pytest.mark.parametrize("order", ["forward", "reverse"])
def test_cupy(cupy, xs, monkeypatch, order):
    monkeypatch.setenv("FASTCKA_EMULATION_ORDER", order)
    with cupy.cuda.Stream(non_blocking=True):
        a = cupy.asarray(np.asfortranarray(xs[0]).T).T
        b = cupy.asarray(np.repeat(xs[1], 2, axis=0))[::2].reshape(100, 5, 6)
        agrees([a, b], xs, 2e-6)
        whole = cupy.asarray((xs[0] * 10).astype(np.int16))
        agrees([whole, xs[1]], [(xs[0] * 10).astype(np.int16), xs[1]], 2e-6)
    with pytest.raises(InputError, match="must hold real numbers, got dtype complex64"):
        fastcka.cka(cupy.asarray(xs[0].astype(np.complex64)), xs[1])
    with pytest.raises(InputError, match=r"must have shape .*, got \(100,\)"):
        fastcka.cka(cupy.asarray(xs[0][:, 0].copy()), xs[1])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_plain_cupy_arrays_are_viewed_at_once(cupy, xs, dtype, monkeypatch):
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        whole = cupy.asarray(xs[0].astype(dtype))
    arrays = [whole, whole[::2, ::3], whole.T, whole[::-1]]
    with stream:
        expected = [as_view(each, "x") for each in arrays]
        monkeypatch.setattr("fastcka.core.arrays.as_view", None)  # would copy, or ask per array
        views = as_views(arrays, "abcd")
    assert [view[1:] for view in views] == [view[1:] for view in expected]
    assert {view.stream for view in views} == {stream.ptr}
    assert [view.owner for view in views] == arrays


def test_cupy_arrays_of_two_devices_have_their_streams(two_devices, cupy, xs):
    with ExitStack() as current:
        streams = []
        for device in (0, 1):
            current.enter_context(cupy.cuda.Device(device))
            streams.append(cupy.cuda.Stream(non_blocking=True))
            current.enter_context(streams[device])
        arrays = []
        for device in (1, 0, 1):
            with cupy.cuda.Device(device):
                arrays.append(cupy.asarray(xs[0]))
        views = as_views(arrays, "abc")
    assert [view.device for view in views] == [1, 0, 1]
    assert [view.stream for view in views] == [streams[device].ptr for device in (1, 0, 1)]


class OnlyDLPack:
    """An array of another library; it makes the given stream wait."""

    def __init__(self, array):
        self._array = array

    def __dlpack__(self, **options):
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


@pytest.mark.parametrize("order", ["forward", "reverse"])
def test_dlpack(cupy, xs, monkeypatch, order):
    monkeypatch.setenv("FASTCKA_EMULATION_ORDER", order)
    with cupy.cuda.Stream(non_blocking=True):
        arrays = [OnlyDLPack(cupy.asarray(x)) for x in xs]
        agrees(arrays, xs, 2e-6)


def test_dlpack_without_cupy(fresh_cuda, xs, monkeypatch):
    class Elsewhere:
        def __dlpack_device__(self):
            return (2, 0)

    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(DeviceError, match=r"\(y\) is on a device \(DLPack type 2, index 0\).*cupy"):
        fastcka.cka(xs[0], Elsewhere())


def test_host_arrays_are_copied_to_the_device_of_the_others(cupy, xs):
    provenance = agrees([cupy.asarray(xs[0]), xs[1]], xs, 2e-6).provenance
    assert provenance["device"] == "cuda:0 emulated device 0"


def test_the_producer_may_overwrite_its_array_after_the_result(torch, cupy, xs, monkeypatch):
    # In the order "reverse" the newest stream runs first, before all streams of the session.
    monkeypatch.setenv("FASTCKA_EMULATION_ORDER", "reverse")
    cuda_runtime().session(0)
    torch.state.stream = cupy.cuda.Stream(non_blocking=True)
    array = on_stream(torch, cupy, xs[0])
    nothing = np.full_like(xs[0], np.nan)

    def groups():
        yield [Tensor(array, "float32"), xs[1]]
        cupy.cuda.runtime.memcpyAsync(
            array.data.ptr, nothing.ctypes.data, nothing.nbytes, 1, torch.state.stream.ptr
        )
        yield xs

    first, _ = compared(groups(), device="cuda")
    np.testing.assert_allclose(first.unbiased, oracle.cka_matrix(xs, "unbiased"), atol=2e-6, rtol=0)


def test_lost_digits_are_recomputed_from_unchanged_data(torch, cupy, rng):
    # Almost equal distances: the self-HSIC is 1e-6 of its terms, too little for float32.
    x = (np.eye(300) + 1e-4 * rng.standard_normal((300, 300))).astype(np.float32)
    y = rng.standard_normal((300, 300)).astype(np.float32)
    torch.state.stream = cupy.cuda.Stream(non_blocking=True)
    arrays = [Tensor(on_stream(torch, cupy, array), "float32") for array in (x, y)]
    expected = oracle.cka_matrix([x, y], "unbiased")[0, 1]
    alone = fastcka.compare(arrays)
    assert alone.cka[0, 1] == pytest.approx(expected, abs=1e-8)
    assert alone.provenance["products"] == "float64"
    # Device arrays of a group may be overwritten before its result is ready; host arrays may not.
    (on_device,) = compared([arrays])
    assert np.isnan(on_device.cka[0, 1])
    assert "(precision 'float64' " in on_device.undefined[0]
    (on_host,) = compared([[x, y]], device="cuda")
    assert on_host.cka[0, 1] == pytest.approx(expected, abs=1e-8)


@pytest.fixture
def two_devices(monkeypatch):
    monkeypatch.setenv("FASTCKA_EMULATION_DEVICES", "2")


def test_arrays_on_two_devices(two_devices, cupy, xs):
    with cupy.cuda.Device(1):
        array = cupy.asarray(xs[1])
    with pytest.raises(InputError, match=r"\(x\) is on cuda:0 and .*\(y\) on cuda:1: move them"):
        fastcka.cka(cupy.asarray(xs[0]), array)
    for device in ("auto", "cuda", "cuda:1"):
        provenance = agrees([xs[0], array], xs, 2e-6, device=device).provenance
        assert provenance["device"] == "cuda:1 emulated device 1"
    with pytest.raises(DeviceError, match=r"\(y\) is on cuda:1, and device is 'cuda:0'"):
        fastcka.cka(xs[0], array, device="cuda:0")


def test_device_arrays_on_the_cpu_are_an_error(cupy, xs):
    with pytest.raises(DeviceError, match=r"\(y\) is on cuda:0, and device is 'cpu': copy it"):
        fastcka.cka(xs[0], cupy.asarray(xs[1]), device="cpu")


def test_device_arrays_without_cuda_give_its_reason(torch, cupy, xs, monkeypatch):
    tensor = Tensor(on_stream(torch, cupy, xs[1]), "float32")
    monkeypatch.setenv("FASTCKA_EMULATION_DRIVER", "0")
    with pytest.raises(DeviceError, match=r"y.* is on cuda:0, and .*: there is no CUDA driver"):
        fastcka.cka(xs[0], tensor)


def test_unsupported_tensors_are_refused(torch, cupy, xs):
    array = on_stream(torch, cupy, xs[0])
    with pytest.raises(InputError, match="dense torch tensor, got layout sparse"):
        fastcka.cka(Tensor(array, "float32", layout="sparse"), xs[1])
    with pytest.raises(InputError, match="dense torch tensor, got layout sparse"):
        fastcka.compare([xs[0], Tensor(array, "float32", layout="sparse")])
    with pytest.raises(InputError, match="real numbers of at least 16 bits, got complex64"):
        fastcka.cka(Tensor(array, "complex64"), xs[1])
