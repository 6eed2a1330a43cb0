"""The examples of a sweep: a filter, and a sample of what it keeps."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

from fastcka.store import ExampleFilter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

_KEYS = ("filter", "sample", "seed")


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample of ``size`` examples, chosen by their ids alone.

    The sample contains the examples whose ids have the smallest digests. So the order of the rows
    does not matter, a smaller sample is a part of a larger one with the same seed, and if an
    example is missing, only one other takes its place.
    """

    size: int
    seed: int

    def __str__(self) -> str:
        return f"{self.size:,} examples by id, seed {self.seed}"

    def digests(self, ids: Iterable[str]) -> NDArray[np.uint64]:
        """Return the number of each id: the BLAKE2b digest of 8 bytes, with the seed as key."""
        key = str(self.seed).encode()
        numbers = (
            hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8, key=key).digest()
            for name in ids
        )
        return np.frombuffer(b"".join(numbers), dtype=">u8").astype(np.uint64)


class SampledExamples(BaseModel):
    """The mapping ``{filter: ..., sample: N, seed: S}``.

    Attributes
    ----------
    filter
        An `ExampleFilter` as text; None for all examples.
    sample
        Number of examples in each group.
    seed
        Chooses the sample.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    filter: str | None = None
    sample: int
    seed: int = 0


def parse_examples(value: object) -> object:
    """Return the filter or the `SampledExamples` for a value of ``examples``."""
    if isinstance(value, SampledExamples):
        return value
    if isinstance(value, str):
        ExampleFilter.parse(value)  # its error names the term
        return value
    if not isinstance(value, dict):
        raise ValueError(
            "expected a filter, field:pattern terms joined by '&&', or a mapping with filter, "
            "sample and seed"
        )
    unknown = [key for key in value if key not in _KEYS]
    if unknown:
        raise ValueError(f"expected the keys filter, sample and seed, not {unknown[0]!r}")
    text = value.get("filter")
    if text is not None:
        if not isinstance(text, str):
            raise ValueError("filter: expected field:pattern terms joined by '&&'")
        ExampleFilter.parse(text)
    if "sample" not in value:
        if "seed" in value or text is None:
            raise ValueError("expected the key sample, the number of examples in each group")
        return text
    size, seed = value["sample"], value.get("seed", 0)
    if type(size) is not int or size < 1:
        raise ValueError(f"sample: expected a whole number of at least 1, not {size!r}")
    if type(seed) is not int or not 0 <= seed < 2**63:
        raise ValueError(f"seed: expected a whole number from 0 to 2^63 - 1, not {seed!r}")
    return SampledExamples(filter=text, sample=size, seed=seed)
