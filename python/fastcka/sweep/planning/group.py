"""A group of a sweep: representations that are compared in one pass, over the same examples."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcka.core import CudaPlan, PassPlan, StagedRepresentation, StreamPlan
from fastcka.core.measures.cost import Cost, total_cost
from fastcka.core.measures.measure import Measure
from fastcka.store import STORED_DTYPES, Key
from fastcka.sweep.planning.matched import MatchedExamples
from fastcka.sweep.question.labels import Labels, group_name


@dataclass(frozen=True, slots=True)
class Representation:
    """A representation that takes part, as the store describes it.

    Attributes
    ----------
    key
        Model, step and layer.
    labels
        Model, step, layer and every factor of the model.
    n_features, dtype, digest
        The number of features, the dtype and the digest of the stored data.
    n_examples, examples_digest
        The number of stored examples, and the digest of their ids.
    staged
        Whether it is read into a float32 buffer that the pass centres in place. float64 data, and
        all data of a sweep in float64, are not converted, so that nothing is rounded.
    pooling
        How an example's values became one row, as the store describes it; None if it does not.
    """

    key: Key
    labels: Labels
    n_features: int
    dtype: str
    digest: str
    n_examples: int
    examples_digest: str
    staged: bool
    pooling: str | None = None

    @property
    def itemsize(self) -> int:
        """Bytes of a value as it is read. NumPy has no bfloat16: it becomes float32."""
        return 4 if self.dtype == "bfloat16" else STORED_DTYPES[self.dtype].itemsize


@dataclass(frozen=True, slots=True, eq=False)
class GroupPlan:
    """Representations that are compared in one pass, on the examples that all of them have.

    Attributes
    ----------
    position
        Its position in the plan, from 0.
    fields
        The fields of `within` and their values in this group.
    representations
        In the order of the store, which is also the order of the rows of the matrices.
    pairs
        (P, 2) positions in `representations`, first < second, in lexicographic order.
    examples
        The examples, and the rows in which each representation has them.
    pass_plan
        The core's plan of the pass; a `StreamPlan` if the data are read in blocks of rows.
    memory
        The bytes that a `StreamPlan` may use.
    blocks, blocks_digest
        (n_examples,) the block of each example, and a digest; None and "" without blocks.
    measures
        The measures besides CKA.
    """

    position: int
    fields: dict[str, Any]
    representations: tuple[Representation, ...]
    pairs: NDArray[np.int64]
    examples: MatchedExamples
    pass_plan: PassPlan | CudaPlan | StreamPlan
    memory: int | None = None
    blocks: NDArray[np.int64] | None = None
    blocks_digest: str = ""
    measures: tuple[Measure, ...] = ()

    @property
    def n_examples(self) -> int:
        """Number of examples in the pass."""
        return self.examples.n_examples

    @property
    def name(self) -> str:
        """The group's fields as text, ``layer=fc1, step=100``; "all" if `within` is empty."""
        return group_name(self.fields)

    @property
    def file_stem(self) -> str:
        """The stem of its file names: the position, then the safe characters of `name`."""
        words = re.sub(r"[^A-Za-z0-9=.]+", "_", self.name).strip("_.")
        return f"{self.position:04d}_{words[:80]}"

    @property
    def bytes_to_read(self) -> int:
        """Bytes of its stored data, uncompressed, as often as they are read."""
        return round(
            self.reads
            * sum(
                r.n_examples * r.n_features * STORED_DTYPES[r.dtype].itemsize
                for r in self.representations
            )
        )

    @property
    def reads(self) -> float:
        """How often its data are read."""
        return self.pass_plan.reads if isinstance(self.pass_plan, StreamPlan) else 1.0

    @property
    def measures_cost(self) -> Cost:
        """The memory and the predicted time of its measures besides CKA."""
        widths = [r.n_features for r in self.representations]
        return total_cost(self.measures, self.n_examples, widths)

    @property
    def seconds(self) -> float:
        """Predicted seconds of its pass and its measures."""
        return self.pass_plan.seconds + self.measures_cost.seconds

    @property
    def bytes_loaded(self) -> int:
        """Bytes of its arrays in memory; none if they are read in blocks of rows."""
        if isinstance(self.pass_plan, StreamPlan):
            return 0
        return sum(map(self._bytes_of_array, self.representations))

    def _bytes_of_array(self, representation: Representation) -> int:
        n, d = self.n_examples, representation.n_features
        if representation.staged:
            return StagedRepresentation.bytes_of(n, d)
        return n * d * representation.itemsize

    def to_dict(self) -> dict[str, Any]:
        """Return a summary for JSON."""
        return {
            "name": self.name,
            "fields": self.fields,
            "representations": len(self.representations),
            "comparisons": len(self.pairs),
            "n_examples": self.n_examples,
            "positional_ids": self.examples.positional_ids,
            "examples_dropped": dict(self.examples.dropped),
            "rows_dropped": list(self.examples.n_dropped),
            "n_features": [r.n_features for r in self.representations],
            "pooling": [r.pooling for r in self.representations],
            "route": self.pass_plan.route,
            "tile": self.pass_plan.tile,
            "flops": self.pass_plan.flops,
            "bytes_to_read": self.bytes_to_read,
            "in_blocks": isinstance(self.pass_plan, StreamPlan),
            "reads": self.reads,
            "bytes_memory": self.bytes_loaded
            + self.pass_plan.bytes_centered
            + self.pass_plan.bytes_workspace,
        }


def measures_cost_text(groups: Sequence[GroupPlan]) -> str:
    """Return the measures besides CKA and their predicted time; empty without any."""
    names = ", ".join(map(str, groups[0].measures))
    seconds = sum(group.measures_cost.seconds for group in groups)
    return f"{names}: about {seconds:,.1f} s in addition, on the CPU" if names else ""
