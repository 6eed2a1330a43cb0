"""One layer written to a store."""

from __future__ import annotations

import numpy as np

from fastcka.store import Key, Store

KEY = Key("m", 0, "a")


def write(store: Store, x: object, **options: object) -> np.ndarray:
    store.write(model="m", step=0, layers={"a": x}, **options)
    return store.read(KEY)
