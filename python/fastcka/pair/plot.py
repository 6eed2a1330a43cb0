"""The picture of a pair: its similarity over the steps."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

from fastcka.errors import MissingExtraError

if TYPE_CHECKING:
    from fastcka.pair.config import PairConfig
    from fastcka.pair.results import PairResult


def timeline_png(config: PairConfig, result: PairResult) -> bytes:
    """Return a PNG; the vertical axis goes from 0 to 1, and undefined steps are gaps.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError.of("save_timeline_plot", "matplotlib", "report") from error
    figure = Figure(figsize=(7.0, 4.2), dpi=150, layout="constrained")
    axes = figure.subplots()
    steps = [point.step for point in result.points]
    axes.plot(steps, [point.cka for point in result.points], "o-", color="#0072B2", markersize=4)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("training step")
    axes.set_ylabel(f"CKA (biased, {config.kernel_type})")
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    title = f"{config.exp1.name} and {config.exp2.name}, layer {config.layer}"
    axes.set_title(_plain(title), fontsize=11, loc="left")
    undefined = sum(math.isnan(point.cka) for point in result.points)
    caption = f"n = {result.n_examples} examples; filter: {config.city_filter or 'none'}"
    if undefined:
        caption += f"\nundefined at {undefined} of {len(steps)} steps"
    figure.supxlabel(_plain(caption), fontsize=8, x=0.01, ha="left")
    written = io.BytesIO()
    figure.savefig(written, format="png")
    return written.getvalue()


def _plain(text: str) -> str:
    """Keep matplotlib from reading `$`, as patterns have it, as mathematics."""
    return text.replace("$", r"\$")
