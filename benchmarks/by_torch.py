"""All pairs' biased CKA (M, M) by torch: NumPy's three ways, and the best of batched calls.

`triangle_tiles` and `feature_panels` hold no whole Gram matrix and no whole product of features.
`gram_tiles` is `triangle_tiles` with the batched products that a GPU needs.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

#: Examples in a row tile on the CPU, and on the edge of a tile on a GPU.
TILE, GPU_TILE = 256, 2048
#: Entries of Gram matrices in one float32 sum, on the CPU and on a GPU.
PIECE, GPU_PIECE = 1 << 16, 1 << 12
#: Features in a panel.
PANEL = 2048


def tensors(arrays):
    return [torch.from_numpy(x) for x in arrays]


def loop_over_pairs(xs):
    """The loop as it is mostly written: each pair alone, with one wait for its value."""
    cka = np.eye(len(xs))
    for i, j in zip(*np.triu_indices(len(xs), 1), strict=True):
        cka[i, j] = cka[j, i] = _linear_cka(xs[i], xs[j]).item()
    return cka


def _linear_cka(x, y):
    x = x - x.mean(0)
    y = y - y.mean(0)
    return (x.T @ y).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm())


def pair_by_pair(xs):
    """|X'Y|^2 of every pair; each representation is centred once, and a GPU waits once."""
    xs = _centered(xs)
    m = len(xs)
    norms = [torch.linalg.vector_norm(xs[i].T @ xs[j]) for i in range(m) for j in range(i, m)]
    hsic = torch.zeros((m, m), dtype=torch.float64)
    hsic[*torch.triu_indices(m, m)] = torch.stack(norms).double().cpu() ** 2
    return _normalized(_symmetric(hsic))


def cached_grams(xs):
    return _cached_grams(_centered(xs))


def cached_grams_bfloat16(xs):
    """The Gram matrices are products of bfloat16 numbers; they are summed up in float32."""
    return _cached_grams([x.bfloat16() for x in _centered(xs)])


def _cached_grams(xs):
    n = len(xs[0])
    grams = torch.empty((len(xs), n, n))
    for gram, x in zip(grams, xs, strict=True):
        gram.copy_(x @ x.T)
    return _normalized(_sums_of_products(grams))


def one_product(xs):
    m, d = len(xs), xs[0].shape[1]
    stacked = torch.cat(_centered(xs), dim=1)
    products = (stacked.T @ stacked).view(m, d, m, d)
    hsic = torch.stack([row.square_().sum(dim=(0, 2), dtype=torch.float64) for row in products])
    return _normalized(hsic)


def triangle_tiles(xs):
    """Row tiles of the upper triangle of all Gram matrices, summed over the tiles in float64."""
    xs = _centered(xs)
    m, n = len(xs), len(xs[0])
    hsic = torch.zeros((m, m), dtype=torch.float64)
    for rows, columns, weight in _triangle(n, TILE, n):
        grams = torch.empty((m, len(range(n)[rows]), len(range(n)[columns])))
        for gram, x in zip(grams, xs, strict=True):
            torch.mm(x[rows], x[columns].T, out=gram)
        hsic += weight * _sums_of_products(grams)
    return _normalized(hsic)


def gram_tiles(xs, *, dtype, tile=GPU_TILE, piece=GPU_PIECE):
    """Square tiles of the upper triangle of all Gram matrices, each by one batched product."""
    x = _stacked(xs, dtype)
    m, n, _ = x.shape
    hsic = torch.zeros((m, m), dtype=torch.float64, device=x.device)
    for rows, columns, weight in _triangle(n, tile, tile):
        grams = product(x[:, rows], x[:, columns].mT).flatten(1)
        whole = grams.shape[1] // piece * piece
        pieces = grams[:, :whole].unflatten(1, (-1, piece)).transpose(0, 1)
        for batch in (pieces, grams[None, :, whole:]):
            if batch.numel():
                hsic += weight * (batch @ batch.mT).double().sum(0)
    return _normalized(hsic)


def feature_panels(xs, *, dtype, panel=PANEL):
    """Rows of X'X of all features, a few representations at a time."""
    x = _stacked(xs, dtype)
    m, n, d = x.shape
    x = x.transpose(0, 1).reshape(n, m * d)
    step = max(1, panel // d)
    hsic = torch.zeros((m, m), dtype=torch.float64, device=x.device)
    for i in range(0, m, step):
        rows, columns = x[:, i * d : (i + step) * d], x[:, i * d :]
        products = product(rows.T, columns).view(-1, d, m - i, d)
        hsic[i : i + step, i:] = torch.linalg.vector_norm(products, dim=(1, 3)).double() ** 2
    return _normalized(_symmetric(hsic))


# A contestant is named by one function.
gram_tiles_float16 = partial(gram_tiles, dtype=torch.float16)
gram_tiles_float32 = partial(gram_tiles, dtype=torch.float32)
feature_panels_float16 = partial(feature_panels, dtype=torch.float16)
feature_panels_float32 = partial(feature_panels, dtype=torch.float32)


def product(a, b):
    """The product of two matrices or batches of them; of fp16 in float32, as cuBLAS can.

    torch cannot do that on the CPU, where the fp16 numbers become float32 first: they stay exact.
    """
    if a.dtype != torch.float16:
        return a @ b
    if not a.is_cuda:
        return a.float() @ b.float()
    return (torch.bmm if a.dim() == 3 else torch.mm)(a, b, out_dtype=torch.float32)


def _triangle(n, height, width):
    """Rows, columns and weight of the tiles of the upper triangle.

    A tile right of the diagonal counts twice.
    """
    for start in range(0, n, height):
        rows = slice(start, start + height)
        yield rows, rows, 1
        for column in range(start + height, n, width):
            yield rows, slice(column, column + width), 2


def _sums_of_products(grams):
    """Sums of products of all pairs of the (M, ...) matrices.

    In pieces: one float32 sum over n^2 terms gave CKA that is wrong by 1e-3 at n = 4413.
    """
    pieces = grams.flatten(1).split(PIECE, dim=1)
    return sum((piece @ piece.T).double() for piece in pieces)


def _centered(xs):
    return [x - x.mean(0) for x in xs]


def _stacked(xs, dtype):
    """(M, n, d), centred; for fp16 with variance 1 over all, so that nothing overflows."""
    x = torch.stack(xs)
    x -= x.mean(1, keepdim=True)
    if dtype == torch.float16:
        x /= x.std((1, 2), keepdim=True)
    return x.to(dtype)


def _symmetric(upper):
    return torch.triu(upper) + torch.triu(upper, 1).T


def _normalized(hsic):
    norms = hsic.diagonal().sqrt()
    return (hsic / norms.outer(norms)).cpu().numpy()
