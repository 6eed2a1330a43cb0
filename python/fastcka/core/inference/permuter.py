"""CKA of all pairs under given permutations of the examples, by the compiled code."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastcka.core.backend import MOST_PERMUTED, Progress, permuted, permuted_bytes
from fastcka.core.estimators import Estimator
from fastcka.core.views import ArrayView
from fastcka.errors import InputError
from fastcka.memory import require_memory
from fastcka.out_of_memory import named_shortage

#: Permutations of one call: with more of them, a row of a Gram matrix is used more often while it
#: is in a cache.
TOGETHER = 1024
#: Bytes of their similarities, of one thread.
MOST_BYTES = 16 << 20
#: Fewest permutations of one call.
LEAST_TOGETHER = 16

REMEDY = "test fewer representations at once, or fewer examples"


class Permuter:
    """The centred Gram matrices of representations.

    Attributes
    ----------
    batch
        The number of permutations to pass at once.

    Raises
    ------
    InputError
        There are more examples than a permutation may have.
    OutOfMemoryError
        The Gram matrices, or ``kept_bytes`` that the caller needs, do not fit into the free memory.
    """

    def __init__(
        self,
        views: Sequence[ArrayView],
        estimator: Estimator,
        products: str,
        threads: int,
        kept_bytes: int = 0,
    ) -> None:
        n, m = views[0].n_examples, len(views)
        if n > MOST_PERMUTED:
            raise InputError(
                f"permutation_test: expected at most {MOST_PERMUTED:,} examples, got {n:,}: test a "
                f"sample of the examples"
            )
        self.batch = max(min(TOGETHER, MOST_BYTES // (4 * m * (m - 1))), LEAST_TOGETHER)
        self._views = views  # keeps the arrays alive
        self._threads = threads
        self._what = f"permuting {m:,} representations of {n:,} examples"
        size = 8 if products == "float64" else 4
        grams, of_thread = permuted_bytes(n, m, size, self.batch)
        # While the Gram matrices are computed: two copies of one representation.
        copies = 2 * n * max(view.n_features for view in views) * size
        require_memory(grams + max(copies, threads * of_thread) + kept_bytes, self._what, REMEDY)
        with named_shortage(self._what, REMEDY):
            self._permuted = permuted(
                views, estimator=estimator, products=products, threads=threads
            )

    def similarities(
        self, permutations: NDArray[np.int32], progress: Progress | None = None
    ) -> NDArray[np.float64]:
        """Return CKA, (count, M(M-1)/2), for permutations (count, n_examples).

        Example ``a`` of the first representation of a pair meets example ``permutations[k, a]`` of
        the second. Pairs are in the order of ``numpy.triu_indices(M, 1)``.
        """
        with named_shortage(self._what, REMEDY):
            return self._permuted.similarities(
                permutations, threads=self._threads, progress=progress
            )
