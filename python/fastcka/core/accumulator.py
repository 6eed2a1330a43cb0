"""Exact CKA from batches of examples, without the representations in memory."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from fastcka.arrays import aligned
from fastcka.core.arrays import as_float64
from fastcka.core.backend import version
from fastcka.core.comparison import Comparison, label_text
from fastcka.core.estimators import Estimator, check_estimator, estimate
from fastcka.core.far_moments import FarMoments
from fastcka.core.inference.corrected import correct, self_ratios
from fastcka.core.inference.moments import moments_of
from fastcka.core.request import Described, Group, check_same_examples, checked_pairs
from fastcka.core.saved import load_npz, save_npz
from fastcka.core.sums import LARGEST, Matrix, SelfSums, non_finite_text
from fastcka.errors import InputError
from fastcka.memory import require_memory
from fastcka.out_of_memory import named_shortage

#: Of saved accumulators.
_VERSION = 2
_REMEDY = "accumulate fewer or narrower representations at once"


class Accumulator:
    """Exact linear CKA of representations that arrive in batches of examples.

    Both estimators are functions of sums over examples (`fastcka.core.moments`). An accumulator
    keeps these sums, in float64, and not the examples, apart from a few that are far from all
    others. Its memory is about 8 D^2 bytes for D features of all representations together, whatever
    the number of examples. Unlike minibatch CKA, the result is that of all examples at once, up to
    rounding.

    The batches may have any sizes; their order and their means do not matter, beyond rounding. The
    same batches in the same order give the same bits. Accumulators of parts of the data, for
    example of several processes, can be merged.

    Examples
    --------
    >>> import numpy as np, fastcka
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.standard_normal((2, 1000, 8))
    >>> accumulator = fastcka.Accumulator()
    >>> for rows in np.split(np.arange(1000), 10):
    ...     accumulator.update({"x": x[rows], "y": y[rows]})
    >>> bool(np.allclose(accumulator.result().cka[0, 1], fastcka.cka(x, y), atol=1e-6))
    True
    """

    def __init__(self) -> None:
        self._labels: tuple[dict[str, Any], ...] = ()
        self._names: tuple[str, ...] = ()
        self._moments: FarMoments | None = None
        self._seconds = 0.0
        self._whole = True

    @property
    def n_examples(self) -> int:
        """Number of examples so far."""
        return 0 if self._moments is None else self._moments.n_examples

    def __repr__(self) -> str:
        return f"Accumulator({len(self._labels)} representations, {self.n_examples} examples)"

    @named_shortage("accumulating", _REMEDY)
    def update(
        self,
        representations: Sequence[Any] | Mapping[Any, Any],
        *,
        labels: Sequence[Any] | None = None,
    ) -> None:
        """Add a batch of examples.

        Parameters
        ----------
        representations
            M arrays on the CPU, of shape (n, n_features_i), or a mapping from label to array; see
            `compare` for what counts as an array. All have the same n >= 1 examples in the same
            order. Each batch must have the labels and the widths of the first one; in a mapping
            their order does not matter. Unlike in `compare`, integers and extended floats that
            float64 cannot represent are errors: a constant that is subtracted would differ between
            batches.
        labels
            As in `compare`.

        Raises
        ------
        InputError
            For a batch that does not fit the first one, different numbers of examples, NaN,
            infinite, masked or missing values, values above 1e300, or values that float64 cannot
            represent. The accumulator is then unchanged.
        DeviceError
            For an array on a CUDA device.
        OutOfMemoryError
            For the first batch, if 8 D^2 bytes, and what adding examples needs in addition, are
            more than is free.
        """
        self._require_whole()
        start = time.perf_counter()
        group = Described.of_group(Group(representations, labels))
        order = self._order(group.labels, any_order=isinstance(representations, Mapping))
        batch = _batch([group.arrays[i] for i in order], [group.names[i] for i in order])
        widths = [x.shape[1] for x in batch]
        if self._moments is None:
            _require_memory(widths)
            self._moments = FarMoments.empty(widths)
            self._labels, self._names = group.labels, group.names
        self._check_widths(self._moments, widths)
        self._whole = False
        self._moments.add(np.hstack(batch))
        self._whole = True
        self._seconds += time.perf_counter() - start

    @named_shortage("merging accumulators", _REMEDY)
    def merge(self, other: Accumulator) -> None:
        """Add the examples of another accumulator, which stays unchanged.

        Raises
        ------
        InputError
            If the labels or the widths differ, or ``other`` is this accumulator.
        OutOfMemoryError
            If a copy of the sums of ``other`` needs more memory than is free.
        """
        if not isinstance(other, Accumulator):
            raise InputError(f"other must be an Accumulator, got {type(other).__name__}")
        if other is self:
            raise InputError(
                "an accumulator cannot be merged with itself: its examples would repeat"
            )
        for each in (self, other):
            each._require_whole()
        if other._moments is None:
            return
        _require_memory(other._moments.near.widths)
        if self._moments is None:
            self._labels, self._names = other._labels, other._names
            self._moments, self._seconds = deepcopy(other._moments), other._seconds
            return
        self._order(other._labels)
        self._check_widths(self._moments, other._moments.near.widths)
        self._whole = False
        self._moments.merge(other._moments)
        self._whole = True
        self._seconds += other._seconds

    @named_shortage("the result of an accumulator", _REMEDY)
    def result(
        self, *, estimator: Estimator = "unbiased", pairs: ArrayLike | None = None
    ) -> Comparison:
        """Return CKA of all examples so far; more can be added afterwards.

        Parameters
        ----------
        estimator
            "unbiased", "biased" or "feature_corrected", as in `compare`.
        pairs
            As in `compare`.

        Returns
        -------
        Comparison
            With the chance level (`Comparison.null_mean`, `null_sd`, `z`) and the feature
            correction, and without p-values.

        Raises
        ------
        InputError
            For no examples, or an argument that is not allowed.
        """
        self._require_whole()
        check_estimator(estimator)
        if self._moments is None:
            raise InputError("the accumulator has no examples: call update first")
        wanted = checked_pairs(pairs, self._labels)
        sums = self._moments.sums(self._seconds)
        biased, unbiased = estimate(sums, "biased"), estimate(sums, "unbiased")
        widths = self._moments.near.widths
        selves = SelfSums.of_sums(sums)
        corrected = correct(unbiased, ratios := self_ratios(selves, np.array(widths)), widths)
        return Comparison(
            labels=tuple([dict(label) for label in self._labels]),
            estimator=estimator,
            n_examples=sums.n_examples,
            biased=biased.cka,
            unbiased=unbiased.cka,
            hsic_biased=biased.hsic,
            hsic_unbiased=unbiased.hsic,
            pairs=wanted,
            provenance={
                "fastcka": version,
                "device": "cpu",
                "device_reason": "accumulated in batches",
                "kernel_function": "linear",
                "seconds": self._seconds,
                "n_features": list(widths),
                "route": "F",
                **dict.fromkeys(("precision", "products"), "float64"),
                "implementation": f"numpy {np.__version__}",
            },
            undefined={"biased": biased, "unbiased": unbiased}.get(estimator, corrected).undefined,
            feature_corrected=corrected.cka,
            moments=moments_of(selves, ratios),
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the accumulator to one .npz file, which appears when it is complete.

        Raises
        ------
        InputError
            If the name does not end in .npz, its folder does not exist, there are no examples, or
            a label is not a JSON value.
        WriteError
            If the file cannot be written.
        """
        self._require_whole()
        if self._moments is None:
            raise InputError("the accumulator has no examples: there is nothing to save")
        header = {"labels": self._labels, "names": self._names, "seconds": self._seconds}
        counts, arrays = self._moments.to_arrays()
        save_npz(path, "accumulator", _VERSION, header | counts, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read an accumulator that `save` wrote.

        Raises
        ------
        InputError
            If the file is not a saved accumulator, or was saved by a newer version.
        """
        accumulator = cls()
        required = (*FarMoments.ARRAYS, *FarMoments.COUNTS, "labels", "names", "seconds")
        header, arrays = load_npz(path, "accumulator", [_VERSION], required)
        accumulator._moments = FarMoments.of_arrays(header, arrays)
        accumulator._labels, accumulator._names = tuple(header["labels"]), tuple(header["names"])
        accumulator._seconds = header["seconds"]
        return accumulator

    def _require_whole(self) -> None:
        if not self._whole:
            raise InputError(
                "an earlier call was interrupted while it added examples, so the sums are not "
                "complete: load a saved accumulator, or start again"
            )

    def _order(self, labels: Sequence[dict[str, Any]], *, any_order: bool = False) -> list[int]:
        """Return the position in ``labels`` of each label of this accumulator."""
        positions = {repr(label): i for i, label in enumerate(labels)}
        wanted = [repr(label) for label in self._labels] or list(positions)
        if any_order and set(positions) == set(wanted):
            return [positions[label] for label in wanted]
        if list(positions) == wanted:
            return list(range(len(labels)))
        kind = "labels" if set(positions) != set(wanted) else "labels in this order"
        raise InputError(
            f"expected the {kind} of the first batch ({_listed(self._labels)}), "
            f"got {_listed(labels)}"
        )

    def _check_widths(self, moments: FarMoments, widths: Sequence[int]) -> None:
        for name, expected, width in zip(self._names, moments.near.widths, widths, strict=True):
            if width != expected:
                raise InputError(
                    f"{name} has {width} features, but {expected} in the first batch: all batches "
                    "must have the same features in the same order"
                )


def _listed(labels: Sequence[dict[str, Any]]) -> str:
    texts = [label_text(label) for label in labels]
    return ", ".join(texts[:6]) + (f" and {len(texts) - 6} more" if len(texts) > 6 else "")


def _require_memory(widths: Sequence[int]) -> None:
    require_memory(
        FarMoments.bytes_of(widths),
        f"accumulating {len(widths):,} representations of {sum(widths):,} features in all",
        _REMEDY,
    )


def _batch(arrays: Sequence[Any], names: Sequence[str]) -> list[Matrix]:
    pairs = zip(aligned(arrays, names), names, strict=True)
    batch = [as_float64(x, name, shift=False) for x, name in pairs]
    check_same_examples([len(x) for x in batch], names)
    large = [name for x, name in zip(batch, names, strict=True) if np.abs(x).max() > LARGEST]
    if large:
        raise InputError(non_finite_text(large[0], 0, 0, 0))
    return batch
