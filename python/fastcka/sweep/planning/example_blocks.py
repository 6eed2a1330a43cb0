"""The blocks of a group's examples, which the jackknife leaves out together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastcka.core.inference.blocks import is_missing
from fastcka.digests import json_digest
from fastcka.errors import SweepError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fastcka.sweep.planning.examples import Member
    from fastcka.sweep.planning.matched import MatchedExamples


class BlockReader:
    """Reads a column of examples, once for each distinct list of examples."""

    def __init__(self, column: str) -> None:
        self._column = column
        self._numbered: dict[str, NDArray[np.int64]] = {}
        self._numbers: dict[object, int] = {}
        self._labels: list[object] = []

    def read(
        self, members: Sequence[Member], examples: MatchedExamples, where: str
    ) -> tuple[NDArray[np.int64], str]:
        """Return the block number of each example, (n_examples,), and a digest of the blocks.

        Raises
        ------
        SweepError
            A representation has no such column, or two of them have an example in different
            blocks.
        """
        first: NDArray[np.int64] | None = None
        read: set[tuple[str, bytes | None]] = set()
        for (source, info), rows in zip(members, examples.rows, strict=True):
            mark = source.examples_fingerprint(info.key, [self._column])
            key = (mark, None if rows is None else rows.tobytes())
            if key in read:
                continue
            read.add(key)
            if mark not in self._numbered:
                columns = source.examples(info.key).columns
                if self._column not in columns:
                    listed = ", ".join(sorted(columns)) or "none"
                    raise SweepError(
                        f"inference.blocks: expected an example column of {info.key}, got "
                        f"'{self._column}'; its columns: {listed}"
                    )
                labels = columns[self._column].tolist()
                missing = sum(map(is_missing, labels))
                if missing:
                    raise SweepError(
                        f"inference.blocks: the column '{self._column}' of {info.key} has no label "
                        f"for {missing} of {len(labels)} examples: leave them out by a filter"
                    )
                self._numbered[mark] = self._number(labels)
            blocks = self._numbered[mark] if rows is None else self._numbered[mark][rows]
            if first is None:
                first = blocks
            elif not np.array_equal(first, blocks):
                row = int(np.flatnonzero(first != blocks)[0])
                raise SweepError(
                    f"inference.blocks: {where}: example {row} of the group is in block "
                    f"'{self._labels[first[row]]}' in {members[0][1].key} and in block "
                    f"'{self._labels[blocks[row]]}' in {info.key}; correct the column "
                    f"'{self._column}', or keep such representations apart"
                )
        assert first is not None  # noqa: S101
        _, blocks = np.unique(first, return_inverse=True)
        return blocks.astype(np.int64), json_digest([self._labels[k] for k in first.tolist()])

    def _number(self, labels: list[object]) -> NDArray[np.int64]:
        for label in labels:
            if self._numbers.setdefault(label, len(self._labels)) == len(self._labels):
                self._labels.append(label)
        return np.array([self._numbers[label] for label in labels], np.int64)
