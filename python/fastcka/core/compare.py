"""All pairs of representations in one fused pass."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastcka.core.arrays import ArrayView, StagedRepresentation, as_view
from fastcka.core.backend import (
    ITEMSIZE,
    Progress,
    resolve_device,
    resolve_implementation,
    resolve_threads,
    run_pass,
    version,
)
from fastcka.core.comparison import Comparison, label_text
from fastcka.core.estimators import ESTIMATORS, MIN_EXAMPLES, Estimator, estimate
from fastcka.core.plan import PRECISIONS, PassPlan, Precision, make_plan
from fastcka.errors import InputError


def compare(
    representations: Sequence[Any] | Mapping[Any, Any],
    *,
    labels: Sequence[Any] | None = None,
    pairs: ArrayLike | None = None,
    estimator: Estimator = "unbiased",
    device: str = "auto",
    precision: Precision = "high",
    threads: int | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """CKA of all unique pairs of representations, both estimators, in one pass over the data.

    Linear CKA of Kornblith, Norouzi, Lee and Hinton 2019; the "unbiased" estimator of HSIC is that
    of Song et al. 2012 as used for CKA by Nguyen, Raghu and Kornblith 2021.

    Parameters
    ----------
    representations
        M arrays of shape (n_examples, n_features_i), or a mapping from label to array: the same
        examples, in the same order, in each; the numbers of features may differ. Axes after the
        first are flattened. float16, bfloat16, float32, float64 or integers, any strides; NumPy,
        torch on the CPU, or anything with DLPack. `StagedRepresentation` is centred in place and
        used up.
    labels
        What each representation is called: a string, a mapping or a NamedTuple. Default: the keys
        of a mapping, else "0", "1", ...
    pairs
        (P, 2) positions of the pairs of interest; default all a < b. It limits what
        `Comparison.to_dataframe` lists; the matrices always hold all.
    estimator
        "unbiased" (n_examples >= 4) or "biased" (>= 2): the one that `Comparison.cka` gives.
    device
        "auto" or "cpu".
    precision
        "high": products in float32 (in float64 for 64 examples or fewer), everything longer than a
        tile in float64; errors of CKA are below 1e-6. "float64": products in float64.
    threads
        Default: OMP_NUM_THREADS, else the processors that this process may use. The result has the
        same bits for any number.
    progress
        Called with (units done, units in all) a few times a second, from the calling thread.

    Returns
    -------
    Comparison
        A representation without variance, or (unbiased) whose examples are all equally far from
        each other, has NaN in its row and column, and a reason in `Comparison.undefined`.

    Raises
    ------
    InputError
        For fewer examples than the estimator needs, representations with different numbers of
        examples, NaN or infinite values, or arguments that are not what they must be.
    DeviceError
        For a device that cannot be used.

    Examples
    --------
    >>> import numpy as np, fastcka
    >>> x = np.random.default_rng(0).standard_normal((100, 8))
    >>> result = fastcka.compare({"x": x, "2x": 2 * x}, estimator="biased")
    >>> round(float(result.cka[0, 1]), 6)
    1.0
    """
    if estimator not in ESTIMATORS:
        raise InputError(f"estimator must be one of {', '.join(ESTIMATORS)}, got {estimator!r}")
    if progress is not None and not callable(progress):
        raise InputError(f"progress must be callable or None, got {progress!r}")
    if precision not in PRECISIONS:
        raise InputError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    resolved = resolve_device(device)
    available, _ = resolve_threads(threads)

    if isinstance(representations, Mapping):
        labels = list(representations) if labels is None else labels
        arrays = list(representations.values())
    else:
        arrays = list(representations)
    if not arrays:
        raise InputError("representations is empty: at least one is needed")
    records = _records(labels, len(arrays))
    names = [f"representation {i} ({label_text(record)})" for i, record in enumerate(records)]
    if labels is None:
        names = [f"representations[{i}]" for i in range(len(arrays))]
    wanted = _pairs(pairs, len(arrays))
    views = [as_view(x, name) for x, name in zip(arrays, names, strict=True)]
    _check_examples(views, names, estimator)

    plan = make_plan(
        views[0].n_examples,
        [view.n_features for view in views],
        itemsizes=[ITEMSIZE[view.dtype] for view in views],
        implementation=resolve_implementation(),
        threads=available,
        precision=precision,
        staged=all(view.staged for view in views),
    )
    start = time.perf_counter()
    overwritten = True
    try:
        sums = run_pass(views, names, plan, progress=progress)
    except InputError:
        overwritten = False  # such errors come before anything is written
        raise
    finally:
        for x in arrays:
            if overwritten and isinstance(x, StagedRepresentation):
                x.consume()
    seconds = time.perf_counter() - start

    biased, unbiased = estimate(sums, "biased"), estimate(sums, "unbiased")
    return Comparison(
        labels=records,
        estimator=estimator,
        n_examples=plan.n_examples,
        biased=biased.cka,
        unbiased=unbiased.cka,
        hsic_biased=biased.hsic,
        hsic_unbiased=unbiased.hsic,
        pairs=wanted,
        provenance=_provenance(plan, resolved, seconds),
        undefined=(biased if estimator == "biased" else unbiased).undefined,
    )


def _records(labels: Sequence[Any] | None, m: int) -> tuple[dict[str, Any], ...]:
    if labels is None:
        labels = [str(i) for i in range(m)]
    if isinstance(labels, str) or len(labels) != m:
        raise InputError(f"labels must be a sequence of {m}, one for each representation")
    records = []
    for label in labels:
        if isinstance(label, Mapping):
            records.append(dict(label))
        elif hasattr(label, "_asdict"):
            records.append(dict(label._asdict()))
        else:
            records.append({"label": label})
    first: dict[str, int] = {}
    for position, record in enumerate(records):
        if first.setdefault(repr(record), position) != position:
            raise InputError(
                f"labels must differ from each other; positions {first[repr(record)]} and "
                f"{position} are both '{label_text(record)}'"
            )
    return tuple(records)


def _pairs(pairs: ArrayLike | None, m: int) -> NDArray[np.int64]:
    if pairs is None:
        return np.stack(np.triu_indices(m, 1), axis=1).astype(np.int64)
    wanted = np.asarray(pairs)
    if wanted.size == 0:
        return np.empty((0, 2), np.int64)
    if wanted.ndim != 2 or wanted.shape[1] != 2 or wanted.dtype.kind not in "iu":
        raise InputError(
            f"pairs must be integers of shape (P, 2), got {wanted.dtype} of shape {wanted.shape}"
        )
    if wanted.min() < 0 or wanted.max() >= m:
        raise InputError(
            f"pairs must be positions from 0 to {m - 1}, got {wanted.min()} to {wanted.max()}"
        )
    wanted = np.sort(wanted.astype(np.int64), axis=1)
    if (wanted[:, 0] == wanted[:, 1]).any():
        raise InputError("pairs must be of two different representations")
    if len(np.unique(wanted, axis=0)) != len(wanted):
        raise InputError("pairs must be unique; (a, b) and (b, a) are the same pair")
    return wanted


def _check_examples(views: Sequence[ArrayView], names: Sequence[str], estimator: Estimator) -> None:
    n = views[0].n_examples
    for view, name in zip(views, names, strict=True):
        if view.n_examples != n:
            raise InputError(
                f"{name} has {view.n_examples} examples and {names[0]} has {n}: "
                f"all must have the same examples in the same order"
            )
    if n < MIN_EXAMPLES[estimator]:
        hint = "; estimator='biased' needs 2" if estimator == "unbiased" else ""
        raise InputError(
            f"the {estimator} estimator needs at least {MIN_EXAMPLES[estimator]} examples, "
            f"got {n}{hint}"
        )


_PLANNED = ("route", "tile", "chunk", "precision", "products", "implementation", "threads", "flops")


def _provenance(plan: PassPlan, device: str, seconds: float) -> dict[str, Any]:
    return {
        "fastcka": version,
        "device": device,
        "kernel_function": "linear",
        "seconds": seconds,
        "plan": plan.explain(),
        **{name: value for name, value in plan.to_dict().items() if name in _PLANNED},
    }
