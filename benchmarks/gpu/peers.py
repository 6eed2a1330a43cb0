"""What fastcka's pass on the GPU is compared with: all pairs' CKA by torch, in three ways.

`pair_loop` is how it is mostly written, `product_loop` a loop that does nothing twice, `gram_tiles`
and `feature_panels` the best that batched products of torch give: no Gram matrix and no product of
features is ever whole in memory, and each is read once.
"""

from __future__ import annotations

import torch


def linear_cka(x, y):
    x = x - x.mean(0)
    y = y - y.mean(0)
    return (x.T @ y).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm())


def pair_loop(xs, pairs):
    """One call and one wait a pair."""
    return [linear_cka(xs[i], xs[j]).item() for i, j in pairs]


def centered(xs):
    return [x - x.mean(0) for x in xs]


def product_loop(xs, pairs):
    """Squared norms of the products of centred representations; one wait in all."""
    return torch.stack([(xs[i].T @ xs[j]).norm() ** 2 for i, j in pairs]).double().tolist()


def gram_tiles(xs, *, dtype, tile=2048, chunk=4096):
    """Biased CKA (M, M), NumPy float64: a tile of all Gram matrices at a time, then all pairs."""
    x = _stacked(xs, dtype)
    m, n, _ = x.shape
    hsic = torch.zeros((m, m), dtype=torch.float64, device=x.device)
    for row in range(0, n, tile):
        for column in range(row, n, tile):
            a, b = x[:, row : row + tile], x[:, column : column + tile]
            grams = torch.bmm(a, b.mT).flatten(1)
            whole = grams.shape[1] // chunk * chunk
            weight = 1 if row == column else 2
            if whole:
                # In pieces: the float32 sum over a whole tile would cost four digits.
                pieces = grams[:, :whole].unflatten(1, (-1, chunk)).transpose(0, 1)
                hsic += weight * _bmm(pieces, pieces.mT).double().sum(0)
            rest = grams[None, :, whole:]
            if rest.shape[2]:
                hsic += weight * _bmm(rest, rest.mT)[0].double()
    return _normalized(hsic)


def feature_panels(xs, *, dtype, panel=2048):
    """Biased CKA (M, M), NumPy float64: rows of X'X a few representations at a time."""
    x = _stacked(xs, dtype)
    m, n, d = x.shape
    x = x.transpose(0, 1).reshape(n, m * d)
    step = max(1, panel // d)
    hsic = torch.zeros((m, m), dtype=torch.float64, device=x.device)
    for i in range(0, m, step):
        own, others = x[:, i * d : (i + step) * d], x[:, i * d :]
        products = _mm(own.T, others).view(-1, d, m - i, d)
        hsic[i : i + step, i:] = torch.linalg.vector_norm(products, dim=(1, 3)).double() ** 2
    return _normalized(torch.triu(hsic) + torch.triu(hsic, 1).T)


def _stacked(xs, dtype):
    """(M, n, d), centred; for fp16 with variance 1 over all, so that nothing overflows."""
    x = torch.stack(xs)
    x -= x.mean(1, keepdim=True)
    if dtype == torch.float16:
        x /= x.std((1, 2), keepdim=True)
    return x.to(dtype)


def _bmm(a, b):
    """Of fp16 in float32, as cuBLAS can; on the CPU torch cannot, and fp16 is exact in float32."""
    if a.dtype != torch.float16:
        return torch.bmm(a, b)
    return torch.bmm(a, b, out_dtype=torch.float32) if a.is_cuda else a.float() @ b.float()


def _mm(a, b):
    if a.dtype != torch.float16:
        return torch.mm(a, b)
    return torch.mm(a, b, out_dtype=torch.float32) if a.is_cuda else a.float() @ b.float()


def _normalized(hsic):
    own = hsic.diagonal().sqrt()
    return (hsic / own.outer(own)).cpu().numpy()
