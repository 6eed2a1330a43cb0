"""The emulated cuBLAS: column-major products as NumPy's, and the checks that cuBLAS makes."""

from __future__ import annotations

import ctypes
import itertools

import numpy as np
import pytest

N, T = 0, 1
R_32F, R_64F, R_16F = 0, 1, 2
COMPUTE_32F, COMPUTE_32F_PEDANTIC, COMPUTE_64F = 68, 69, 70
NOT_INITIALIZED, INVALID_VALUE, NOT_SUPPORTED = 1, 7, 15
DEFAULT_ALGORITHM = -1

# Type and its code of A and B, of C, the compute type.
COMBINATIONS = [
    (np.float16, R_16F, np.float32, R_32F, COMPUTE_32F),
    (np.float32, R_32F, np.float32, R_32F, COMPUTE_32F),
    (np.float32, R_32F, np.float32, R_32F, COMPUTE_32F_PEDANTIC),
    (np.float64, R_64F, np.float64, R_64F, COMPUTE_64F),
]


@pytest.fixture
def handle(library):
    handle = ctypes.c_void_p()
    assert library.cublasCreate_v2(ctypes.byref(handle)) == 0
    yield handle
    assert library.cublasDestroy_v2(handle) == 0


def pointer(array):
    return ctypes.c_void_p(array.ctypes.data)


def scalar(value, compute):
    kind = ctypes.c_double if compute == COMPUTE_64F else ctypes.c_float
    return ctypes.byref(kind(value))


class Columns:
    """Column-major matrices in one buffer, with room after each column and each matrix."""

    def __init__(self, rng, dtype, batch, rows, columns, spare_rows=3, spare=5):
        self.leading = rows + spare_rows
        self.stride = self.leading * columns + spare
        self.memory = rng.normal(size=(batch, self.stride)).astype(dtype)
        self.spare_rows = spare_rows
        cells = self.memory[:, : self.leading * columns].reshape(batch, columns, self.leading)
        self.matrices = cells.transpose(0, 2, 1)[:, :rows]  # a view


@pytest.mark.parametrize("combination", COMBINATIONS)
@pytest.mark.parametrize("operations", list(itertools.product([N, T], repeat=2)))
@pytest.mark.parametrize("shape", [(1, 1, 1), (16, 4, 8), (17, 5, 33), (3, 70, 1), (50, 2, 64)])
@pytest.mark.parametrize("scalars", [(1, 0), (-0.5, 0), (2, 0.25), (0, 3)])
def test_products_are_those_of_numpy(library, handle, rng, combination, operations, shape, scalars):
    dtype, code, dtype_c, code_c, compute = combination
    m, n, k = shape
    alpha, beta = scalars
    batch = 3
    a = Columns(rng, dtype, batch, *((m, k) if operations[0] == N else (k, m)))
    b = Columns(rng, dtype, batch, *((k, n) if operations[1] == N else (n, k)))
    c = Columns(rng, dtype_c, batch, m, n)
    if beta == 0:
        c.matrices[:] = np.nan  # not read
    expected = c.memory.astype(np.float64)
    for at in range(batch):
        left, right = (
            (x if operation == N else x.T).astype(np.float64)
            for x, operation in zip((a.matrices[at], b.matrices[at]), operations, strict=True)
        )
        product = alpha * (left @ right)
        if beta != 0:
            product += beta * c.matrices[at]
        cells = expected[at, : c.leading * n].reshape(n, c.leading)
        cells[:, :m] = product.T
    status = library.cublasGemmStridedBatchedEx(
        *(handle, *operations, m, n, k, scalar(alpha, compute)),
        *(pointer(a.memory), code, a.leading, ctypes.c_longlong(a.stride)),
        *(pointer(b.memory), code, b.leading, ctypes.c_longlong(b.stride)),
        scalar(beta, compute),
        *(pointer(c.memory), code_c, c.leading, ctypes.c_longlong(c.stride)),
        *(batch, compute, DEFAULT_ALGORITHM),
    )
    assert status == 0
    # The spare room too: nothing but the products was written.
    tolerance = 1e-13 if dtype_c == np.float64 else 1e-5
    np.testing.assert_allclose(c.memory, expected, rtol=0, atol=tolerance * k)


def gemm(library, handle, a=None, b=None, c=None, **changes):
    """A product of three float32 matrices, 4 x 4 unless changed."""
    a, b, c = (np.ones((4, 4), np.float32) if x is None else x for x in (a, b, c))
    given = {"op_a": N, "op_b": N, "a_type": R_32F, "b_type": R_32F, "c_type": R_32F}
    given |= dict.fromkeys(["m", "n", "k", "lda", "ldb", "ldc"], 4)
    given |= {"compute": COMPUTE_32F, **changes}
    compute = given["compute"]
    return library.cublasGemmEx(
        *(handle, given["op_a"], given["op_b"], given["m"], given["n"], given["k"]),
        *(scalar(1, compute), pointer(a), given["a_type"], given["lda"]),
        *(pointer(b), given["b_type"], given["ldb"], scalar(0, compute)),
        *(pointer(c), given["c_type"], given["ldc"], compute, DEFAULT_ALGORITHM),
    )


def test_a_single_product(library, handle, rng):
    a, b = rng.normal(size=(2, 4, 4)).astype(np.float32)
    c = np.zeros((4, 4), np.float32)
    assert gemm(library, handle, a=a, b=b, c=c) == 0
    np.testing.assert_allclose(c.T, a.T @ b.T, rtol=1e-5)


def test_tensor_cores_add_16_products_exactly_and_truncate(library, handle):
    left, right = np.zeros((32, 16), np.float16), np.zeros((32, 2), np.float16)
    tiny = 2.0**-12
    # First column: 1 + 2^-24 + 2^-24 in one sum. Second: 1, then 1.5 * 2^-24 in the next sum.
    left[:3, 0] = [1, tiny, tiny]
    left[0, 1], left[16:18, 1] = 1, [tiny, tiny / 2]
    right[:3, 0], right[0, 1], right[16:18, 1] = [1, tiny, tiny], 1, tiny
    c = np.zeros((2, 16), np.float32)
    changes = {"op_b": T, "m": 16, "n": 2, "k": 32, "lda": 16, "ldb": 2, "ldc": 16}
    types = {"a_type": R_16F, "b_type": R_16F}
    assert gemm(library, handle, a=left, b=right, c=c, **changes, **types) == 0
    assert c[0, 0] == 1 + 2.0**-23
    assert c[1, 1] == 1


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"lda": 3}, INVALID_VALUE),
        ({"op_a": T, "k": 5, "lda": 4, "ldb": 5}, INVALID_VALUE),
        ({"ldb": 3}, INVALID_VALUE),
        ({"op_b": T, "n": 5, "ldb": 4}, INVALID_VALUE),
        ({"ldc": 3}, INVALID_VALUE),
        ({"m": -1}, INVALID_VALUE),
        ({"k": 0, "ldb": 0}, INVALID_VALUE),
        ({"op_a": 7}, INVALID_VALUE),
        ({"a_type": R_16F}, NOT_SUPPORTED),
        ({"a_type": R_64F, "b_type": R_64F}, NOT_SUPPORTED),
        ({"compute": COMPUTE_64F}, NOT_SUPPORTED),
        ({"a_type": R_64F, "b_type": R_64F, "c_type": R_64F}, NOT_SUPPORTED),
        ({"compute": 64}, NOT_SUPPORTED),
    ],
)
def test_what_cublas_refuses_is_refused(library, handle, changes, status):
    c = np.full((4, 4), 7, np.float32)
    assert gemm(library, handle, c=c, **changes) == status
    assert (c == 7).all()


def test_without_a_handle_nothing_is_computed(library):
    assert gemm(library, None) == NOT_INITIALIZED


def test_no_handle_is_made_where_there_is_no_device(library, monkeypatch):
    monkeypatch.setenv("FASTCKA_EMULATION_DEVICES", "0")
    assert library.cublasCreate_v2(ctypes.byref(ctypes.c_void_p())) == NOT_INITIALIZED


def test_products_run_in_the_order_of_their_stream(library, handle, cupy):
    stream = cupy.cuda.Stream(non_blocking=True)
    assert library.cublasSetStream_v2(handle, ctypes.c_void_p(stream.ptr)) == 0
    c = np.zeros((4, 4), np.float32)
    kept = [np.ones((4, 4), np.float32) for _ in "ab"]
    assert gemm(library, handle, a=kept[0], b=kept[1], c=c) == 0
    assert not c.any()
    kept[0][:] = 2
    stream.synchronize()
    assert (c == 8).all()


def test_the_version_is_known(library, handle):
    version = ctypes.c_int()
    assert library.cublasGetVersion_v2(handle, ctypes.byref(version)) == 0
    assert version.value == 999999
    library.cublasGetStatusString.restype = ctypes.c_char_p
    assert b"not supported" in library.cublasGetStatusString(NOT_SUPPORTED)
