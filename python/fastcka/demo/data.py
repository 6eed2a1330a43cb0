"""The data of the demo: 1,797 handwritten digits, split into training and probe images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastcka.digests import bytes_digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_PROBE = 600
_SPLIT_SEED = 2019


@dataclass(frozen=True)
class Digits:
    """Images (n, 1, 8, 8) float32 from 0 to 1, their digits (n,), and ids such as ``digit-0042``.

    The number in an id is the image's position in ``sklearn.datasets.load_digits()``.
    """

    images: NDArray[np.float32]
    digits: NDArray[np.int64]
    ids: tuple[str, ...]

    @property
    def digest(self) -> str:
        """A digest of pixels, digits and ids, in order."""
        content = self.images.tobytes() + self.digits.tobytes() + "\n".join(self.ids).encode()
        return bytes_digest(content)


def load_split() -> tuple[Digits, Digits]:
    """Return (training, probe): 1,197 training images, and 600 images not used for training."""
    from sklearn.datasets import load_digits

    loaded = load_digits()
    images = np.asarray(loaded.images, np.float32)[:, None] / np.float32(16)
    digits = np.asarray(loaded.target, np.int64)
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(images))

    def part(positions: NDArray[np.int64]) -> Digits:
        ids = tuple(f"digit-{position:04d}" for position in positions)
        return Digits(np.ascontiguousarray(images[positions]), digits[positions], ids)

    return part(np.sort(order[N_PROBE:])), part(np.sort(order[:N_PROBE]))
