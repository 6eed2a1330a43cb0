"""All pairs of M representations: the fused pass beside NumPy written as well as one can.

NumPy's way: every centred Gram matrix formed once by one matrix product (NumPy uses the symmetric
one, at half the flops), all of them kept, then one M x M product. Both answers are checked against
float64 before anything is timed; then the two alternate in one process and the medians are
compared. Peak memory is that of a process of its own, above its inputs.

    python benchmarks/all_pairs.py [--m 21] [--n 2000] [--d 512] [--threads 2] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time

MIB = 1 << 20


def representations(m, n, d):
    """Gaussian noise around a shared signal, float32, mean 3: CKA between 0.2 and 0.6."""
    import numpy as np

    rng = np.random.default_rng(0)
    shared = rng.standard_normal((n, 32), dtype=np.float32)
    return [
        shared @ rng.standard_normal((32, d), dtype=np.float32)
        + rng.uniform(2, 6) * rng.standard_normal((n, d), dtype=np.float32)
        + 3
        for _ in range(m)
    ]


def by_numpy(xs):
    """Biased CKA, (M, M)."""
    import numpy as np

    n = len(xs[0])
    grams = np.empty((len(xs), n, n), np.float32)
    for gram, x in zip(grams, xs, strict=True):
        x = x - x.mean(axis=0, dtype=np.float64).astype(np.float32)
        np.matmul(x, x.T, out=gram)
    flat = grams.reshape(len(xs), n * n)
    hsic = (flat @ flat.T).astype(np.float64)
    own = np.sqrt(np.diag(hsic))
    return hsic / np.outer(own, own)


def by_fastcka(xs):
    """Both estimators; the biased CKA, (M, M)."""
    import fastcka

    return fastcka.cka_matrix(xs, estimator="biased")


CONTESTANTS = {"numpy": by_numpy, "fastcka": by_fastcka}


def by_float64(xs):
    """Biased CKA, a Gram matrix at a time: |X_i' X_j|^2 by blocks would be another formula."""
    import numpy as np

    centered = [x.astype(np.float64) - x.mean(axis=0, dtype=np.float64) for x in xs]
    m = len(xs)
    hsic = np.empty((m, m))
    for i in range(m):
        for j in range(i, m):
            hsic[i, j] = hsic[j, i] = np.sum((centered[i].T @ centered[j]) ** 2)
    own = np.sqrt(np.diag(hsic))
    return hsic / np.outer(own, own)


def sgemm_rate():
    """Flops a second of a 4000^3 float32 product, median of 3."""
    import numpy as np

    a, b = np.random.default_rng(0).standard_normal((2, 4000, 4000), dtype=np.float32)
    return 2 * 4000**3 / statistics.median(seconds(lambda: a @ b) for _ in range(3))


def seconds(call):
    """Wall time of one call, begun when the spinning threads of an earlier OpenBLAS call rest."""
    time.sleep(0.2)
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def status(field):
    """A figure of /proc/self/status, in bytes."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field))


def extra_memory(name, m, n, d):
    """Peak of one call above what the process held before it."""
    xs = representations(m, n, d)
    CONTESTANTS[name](representations(2, 50, 8))  # imports and thread stacks
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before = status("VmRSS")
    CONTESTANTS[name](xs)
    return status("VmHWM") - before


def measure(m, n, d, repeats):
    """Errors, times and memory of both."""
    import numpy as np

    import fastcka

    xs = representations(m, n, d)
    exact = by_float64(xs)
    errors = {name: float(np.abs(call(xs) - exact).max()) for name, call in CONTESTANTS.items()}
    assert errors["fastcka"] <= 1e-6, errors
    assert errors["numpy"] <= 1e-4, errors
    times = {name: [] for name in CONTESTANTS}
    for _ in range(repeats):
        for name, call in CONTESTANTS.items():
            times[name].append(seconds(lambda call=call: call(xs)))
    memory = {
        name: int(
            subprocess.run(
                [
                    sys.executable,
                    __file__,
                    "--memory-of",
                    name,
                    "--m",
                    str(m),
                    "--n",
                    str(n),
                    "--d",
                    str(d),
                ],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
        for name in CONTESTANTS
    }
    plan = fastcka.compare(xs).provenance
    rate = sgemm_rate()
    median = {name: statistics.median(values) for name, values in times.items()}
    return {
        "m": m,
        "n": n,
        "d": d,
        "machine": platform.processor() or platform.machine(),
        "numpy": np.__version__,
        "fastcka": fastcka.__version__,
        "implementation": plan["implementation"],
        "route": plan["route"],
        "threads": plan["threads"],
        "seconds": times,
        "median": median,
        "ratio": median["numpy"] / median["fastcka"],
        "error": errors,
        "extra_bytes": memory,
        "memory_ratio": memory["numpy"] / memory["fastcka"],
        "sgemm_flops_per_second": rate,
        "share_of_sgemm": plan["flops"] / median["fastcka"] / rate,
    }


def report(result):
    """The figures, a contestant a line."""
    print(
        f"{result['m']} representations, n={result['n']}, d={result['d']}, float32, "
        f"{result['threads']} threads, {result['implementation']}, route {result['route']}"
    )
    for name in CONTESTANTS:
        print(
            f"  {name:8} median {result['median'][name]:.4f} s "
            f"({min(result['seconds'][name]):.4f} to {max(result['seconds'][name]):.4f}), "
            f"error {result['error'][name]:.1e}, extra {result['extra_bytes'][name] / MIB:.0f} MiB"
        )
    print(
        f"  fastcka is {result['ratio']:.2f} times as fast with 1/{result['memory_ratio']:.2f} of "
        f"the extra memory; {result['share_of_sgemm']:.2f} of this machine's sgemm rate "
        f"({result['sgemm_flops_per_second'] / 1e9:.0f} Gflop/s, NumPy)"
    )


def main():
    """Parse, fix the threads of both before NumPy loads, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--m", type=int, default=21)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--d", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--memory-of", choices=CONTESTANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(options.threads)
    shape = options.m, options.n, options.d
    if options.memory_of:
        print(extra_memory(options.memory_of, *shape))
    elif options.json:
        print(json.dumps(measure(*shape, options.repeats), indent=2))
    else:
        report(measure(*shape, options.repeats))


if __name__ == "__main__":
    main()
