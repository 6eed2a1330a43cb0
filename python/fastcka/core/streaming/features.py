"""Route F in blocks of rows: the sums of an accumulator."""

from __future__ import annotations

from fastcka.core.backend import Progress
from fastcka.core.far_moments import FarMoments
from fastcka.core.streaming.plan import StreamPlan
from fastcka.core.streaming.sources import Sources, read_ahead
from fastcka.core.sums import Sums


def feature_sums(sources: Sources, plan: StreamPlan, progress: Progress | None) -> Sums:
    """Return the sums of all examples; `InputError` for values that cannot be summed."""
    n = sources.n_examples
    starts = range(0, n, plan.rows)
    moments = FarMoments.empty(sources.widths)
    blocks = read_ahead(
        lambda start: sources.block(start, min(start + plan.rows, n)), starts, plan.threads
    )
    for done in range(len(starts)):
        if progress is not None:
            progress(done, len(starts))
        block = next(blocks)
        moments.add(block)
        del block  # the next one needs its memory
    if progress is not None:
        progress(len(starts), len(starts))
    return moments.sums(0.0)
