"""An array that files of every format contain."""

from __future__ import annotations

import numpy as np

X = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
