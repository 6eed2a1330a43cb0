"""What the plans of a pass on the CPU and on a CUDA device have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, get_args

Route = Literal["G", "F"]
Precision = Literal["high", "fast", "float64"]
PRECISIONS: tuple[str, ...] = get_args(Precision)

MIB = 1 << 20

#: Bytes a second from the memory of the host to that of a CUDA device.
HOST_BYTES_PER_SECOND = 10e9

#: With at most this many examples, products run in float64 at any precision: the sums are short, so
#: the rounding of the data shows (with 4 to 8 examples, float32 gives unbiased CKA errors of 2e-5).
FEW_EXAMPLES = 64
#: With more features than this, a float32 sum over them is too long (errors of 1e-6 at 3 million).
MANY_FEATURES = 1_000_000
#: The same for more features per pair of examples than this: the unbiased self-HSIC of d
#: independent features is the difference of sums that are 1 + d/n^2 times as large.
MANY_FEATURES_PER_PAIR = 8


@dataclass(frozen=True, kw_only=True)
class Plan(ABC):
    """How a pass will run, and its predicted cost.

    Flops count a multiply-add as two. `seconds` is a prediction.

    Attributes
    ----------
    reason
        Why this route, these products and this number of threads.
    device_reason
        Why this device; empty in a plan that was made for one device only.
    """

    route: Route
    tile: int
    chunk: int
    precision: Precision
    products: str
    implementation: str
    threads: int
    n_examples: int
    n_features: tuple[int, ...]
    flops: float
    flops_gram: float
    flops_features: float
    bytes_inputs: int
    bytes_centered: int
    bytes_workspace: int
    bytes_results: int
    reason: str
    device_reason: str = ""

    _memory: ClassVar[str] = "memory"

    @property
    @abstractmethod
    def seconds(self) -> float:
        """The predicted seconds of the pass."""

    @property
    @abstractmethod
    def _processor(self) -> str:
        """The implementation of the products, as text."""

    @property
    def _prediction(self) -> tuple[str, ...]:
        """Lines of `explain` about the time."""
        return ()

    def explain(self) -> str:
        """Return the plan as text, one fact per line."""
        m, total = len(self.n_features), sum(self.n_features)
        names = {"G": "Gram tiles", "F": "features"}
        return "\n".join(
            (
                f"{m} representations of {self.n_examples} examples, {total} features in all",
                f"route {self.route} ({names[self.route]}), tile {self.tile}: {self.reason}",
                f"{self.flops / 1e9:.3g} Gflop (route G {self.flops_gram / 1e9:.3g}, "
                f"route F {self.flops_features / 1e9:.3g}), "
                f"{self.products} products, {self._processor}",
                *self._prediction,
                f"{self._memory}: inputs {self.bytes_inputs / MIB:.1f} MiB, "
                f"centred copy {self.bytes_centered / MIB:.1f} MiB, "
                f"workspace {self.bytes_workspace / MIB:.1f} MiB, "
                f"sums {self.bytes_results / MIB:.1f} MiB",
            )
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as values for JSON."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.repr}
        return {**values, "n_features": list(self.n_features), "seconds": self.seconds}


def round_up(count: int, multiple: int) -> int:
    """Return the smallest multiple that is at least ``count``."""
    return ceil_div(count, multiple) * multiple


def ceil_div(count: int, divisor: int) -> int:
    """Return the quotient, rounded up."""
    return -(-count // divisor)
