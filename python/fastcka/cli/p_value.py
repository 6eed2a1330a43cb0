"""Whether ``fastcka cka`` computes a p-value."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from fastcka.cli import output

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastcka.arrays import Rows
    from fastcka.core.base_plan import Precision

#: Most predicted seconds of a comparison with a p-value that is computed by default.
MOST_SECONDS = 10.0
#: From this many predicted seconds on, a line on stderr says so first.
LONG_SECONDS = 2.0


def wants_p(
    asked: bool | None,
    x: Rows | NDArray[Any],
    y: Rows | NDArray[Any],
    device: str,
    precision: Precision,
    threads: int | None,
) -> bool:
    """Return whether to compute the p-value; if that takes long, say so on stderr."""
    from fastcka.core import plan_pass
    from fastcka.core.cost import most_seconds

    if asked is False or device.startswith("cuda"):
        return asked is True  # with a GPU, `compare` refuses it
    if len(x) != len(y) or 0 in x.shape + y.shape:  # `compare` refuses them
        return asked is True
    widths = [math.prod(array.shape[1:]) for array in (x, y)]
    plan = plan_pass(len(x), widths, precision=precision, threads=threads, inference=True)
    seconds = most_seconds(plan.flops, plan.bytes_inputs)
    if seconds >= LONG_SECONDS:
        seconds = plan.seconds  # measures how fast the inner loops run
    wanted = asked is True or seconds <= MOST_SECONDS
    if wanted and seconds >= LONG_SECONDS:
        output.stderr().print(
            f"fastcka: computing the p-value: about {seconds:,.0f} s (--no-p-value skips it)"
        )
    return wanted
