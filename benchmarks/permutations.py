"""Milliseconds for each permutation and pair, compared with calibrated-similarity (PyPI).

    pip install --no-deps --target FOLDER calibrated-similarity==0.1.1
    PYTHONPATH=FOLDER python -m benchmarks.permutations [M] [examples] [features] [permutations]

The peer takes any similarity as a function of two arrays. It gets two: "Gram" is the example of its
documentation, and "features" is the cheapest for these shapes, with the centring and the norms
computed once. The values of all three are compared under the same permutations first.

Times are processor time of all threads, divided by 2: the elapsed time of two threads on an idle
machine. The peer runs in one thread, because waiting threads of torch use processor time too; so it
is taken to be twice as fast with two. Rounds alternate, and the medians are reported.
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np
import torch
from calibrated_similarity import calibrate

import fastcka
from benchmarks.machine import machine

THREADS = 2
PEER_PERMUTATIONS = 5
ROUNDS = 3


def representations(m, n, d, seed=0):
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((n, 20), dtype=np.float32)
    return [
        shared @ rng.standard_normal((20, d), dtype=np.float32)
        + 4 * rng.standard_normal((n, d), dtype=np.float32)
        for _ in range(m)
    ]


def gram_cka(x, y):
    """The example in the documentation of calibrated-similarity."""
    x, y = x - x.mean(0), y - y.mean(0)
    hsic = (x @ x.T * (y @ y.T)).sum()
    return hsic / (x @ x.T).norm() / (y @ y.T).norm()


def feature_cka(x, y):
    """Biased CKA by features, with what permuting does not change computed once."""
    norms = (x.T @ x).norm() * (y.T @ y).norm()
    return lambda a, b: (a.T @ b).square().sum() / norms


def peer(x, y, similarity, orders):
    """The null values and p of the peer under given permutations."""
    values = []

    def keep(a, b):
        values.append(similarity(a, b))
        return values[-1]

    following = iter(torch.from_numpy(orders))
    _, p, _ = calibrate(x, y, keep, K=len(orders), perm_fn=lambda *_: next(following))
    return np.array([float(value) for value in values[1:]]), float(p)


def seconds(call):
    """Processor time of all threads."""
    start = time.process_time()
    call()
    return time.process_time() - start


def main(m=21, n=2000, d=512, count=1000):
    torch.set_num_threads(1)
    xs = representations(m, n, d)
    x, y = (torch.from_numpy(z) - torch.from_numpy(z).mean(0) for z in xs[:2])
    similarities = {"Gram": gram_cka, "features": feature_cka(x, y)}

    test = fastcka.permutation_test(
        xs[:2], n_permutations=PEER_PERMUTATIONS, estimator="biased", threads=THREADS
    )
    rng = np.random.Generator(np.random.PCG64(0))
    orders = np.array([rng.permutation(n) for _ in range(PEER_PERMUTATIONS)])
    for similarity in similarities.values():
        values, p = peer(x, y, similarity, orders)
        np.testing.assert_allclose(values, test.null[:, 0], atol=1e-5)
        assert p == np.float32(test.p_value[0, 1])

    spent = {name: [] for name in ("fastcka", *similarities)}
    for _ in range(ROUNDS):
        whole = seconds(lambda: fastcka.permutation_test(xs, n_permutations=count, threads=THREADS))
        spent["fastcka"].append(whole / count / (m * (m - 1) / 2))
        for name, similarity in similarities.items():
            whole = seconds(lambda s=similarity: peer(x, y, s, orders))
            spent[name].append(whole / (PEER_PERMUTATIONS + 1))  # one call is the observed value
    print(f"{machine()['processor']}, {THREADS} threads; M={m}, n={n}, d={d}, {count} permutations")
    ours = statistics.median(spent["fastcka"])
    for name, values in spent.items():
        each = statistics.median(values)
        peer_name = "fastcka" if name == "fastcka" else f"calibrated-similarity, {name}"
        print(f"{peer_name}: {1e3 * each / THREADS:.4f} ms, {each / ours:.0f} times fastcka")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
