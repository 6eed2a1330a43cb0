"""Whether representations are of the same examples in the same order."""

from __future__ import annotations

import hashlib

import numpy as np

from fastcka.errors import SweepError
from fastcka.store import Key, Store


class ExampleIds:
    """The example ids of a store's files, each file's read once and kept as a digest."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._digests: dict[tuple[str, int], str] = {}

    def digest(self, key: Key) -> str:
        """Return the digest of the ids of `key`, in their order."""
        file = (key.model, key.step)
        if file not in self._digests:
            digest = hashlib.blake2b(digest_size=16)
            for name in self._store.examples(key).ids.tolist():
                encoded = str(name).encode()
                digest.update(len(encoded).to_bytes(4, "little") + encoded)
            self._digests[file] = digest.hexdigest()
        return self._digests[file]

    def require_same(self, first: Key, second: Key) -> None:
        """Refuse two representations of other examples, or of the same in another order."""
        if self.digest(first) == self.digest(second):
            return
        ids, others = self._store.examples(first).ids, self._store.examples(second).ids
        at = int(np.flatnonzero(ids != others)[0])
        same = np.array_equal(np.sort(ids), np.sort(others))
        what = "the same examples in another order" if same else "other examples"
        raise SweepError(
            f"{key_text(first)} and {key_text(second)} hold {what}: at position {at} (from 0) "
            f"the ids are '{ids[at]}' and '{others[at]}'; rows are matched by position, so write "
            "both with the same examples in the same order"
        )


def key_text(key: Key) -> str:
    """Return a key in words."""
    return f"model '{key.model}', step {key.step}, layer '{key.layer}'"
