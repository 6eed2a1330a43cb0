"""The tables of precisions, growth and correctness."""

from __future__ import annotations

from benchmarks import cells

#: Errors from here on are marked.
WRONG = 1e-3
#: "fast" is marked if it takes this many times as long as "high"; repeated runs differ by a few %.
SLOWER = 1.05
AXES = {"n": "examples n", "d": "features d", "m": "representations M", "threads": "threads"}


def precisions(workloads):
    """How long "fast" takes compared with "high", for each workload and implementation."""
    results = {each["title"]: _by_implementation(each) for each in workloads.values()}
    names = list(dict.fromkeys(name for each in results.values() for name in each))
    lines = [
        [title, *(_ratio(each.get(name)) for name in names)] for title, each in results.items()
    ]
    text = (
        '#### Precision "fast" against "high"\n\nThe time of `precision="fast"` divided by that of '
        '"high", for each implementation of the inner loops that this processor can run; marked if '
        f'above {SLOWER}. "same" means that both give the same bits, so that neither is timed.\n\n'
    )
    return text + cells.rows(["", *names], lines)


def _by_implementation(workload):
    """Implementation -> figures of both precisions; the planned one ran with all contestants."""
    planned = workload["plan"]["implementation"]
    return {planned: workload["contestants"], **workload.get("implementations", {})}


def _ratio(measured):
    high, fast = ((measured or {}).get(name, {}) for name in ("fastcka", "fastcka, fast"))
    if "time" in high and "time" in fast:
        ratio = fast["time"] / high["time"]
        return cells.bold_if(ratio > SLOWER, f"{ratio:.2f}")
    for figures in (high, fast):
        if "failed" in figures:
            return "failed"
    reason = fast.get("refused", "")
    return "same" if reason.startswith("the same bits") else reason


def growth(growth):
    base = ", ".join(f"{AXES[name]} = {value}" for name, value in growth["base"].items())
    text = (
        f"#### Growth\n\nOne extent at a time, from {base}. Route G computes Gram matrices, route "
        "F products of features; fastcka takes the cheaper route. Two processes made the "
        "predictions, one before the measurements, one after them. **again** is the second "
        "prediction divided "
        "by the first.\n\n![Measured and predicted seconds as each grows](growth.png)\n\n"
    )
    header = ["", "value", "route", "precision", "measured s", "predicted s"]
    header += ["measured / predicted", "again", ""]
    lines = []
    for axis, points in growth["axes"].items():
        for point in points:
            shown = [label(axis, points), f"{point['value']:,}"]
            lines.append([*shown, *_point(point, "high")])
            if "median" in point.get("fast", {}) or "failed" in point.get("fast", {}):
                lines.append([*shown, *_point(point["fast"], "fast")])
    return text + cells.rows(header, lines) + _ranges(growth)


def _point(figures, precision):
    predicted, again = figures["predicted"], figures.get("predicted_again")
    return [
        figures["route"],
        precision,
        cells.seconds(figures.get("median")),
        cells.seconds(predicted),
        f"{figures['ratio']:.2f}" if "ratio" in figures else "",
        f"{again / predicted:.2f}" if again else "",
        figures.get("failed", ""),
    ]


def _ranges(growth):
    """A sentence: the smallest and the largest of each ratio."""
    every = [point for points in growth["axes"].values() for point in points]
    every += [point["fast"] for point in every if "fast" in point]
    ratios = [figures["ratio"] for figures in every if "ratio" in figures]
    again = [
        figures["predicted_again"] / figures["predicted"]
        for figures in every
        if "ratio" in figures and "predicted_again" in figures
    ]
    if not ratios:
        return ""
    text = f"\nMeasured / predicted: {min(ratios):.2f} to {max(ratios):.2f}"
    if again:
        text += f"; the second prediction / the first: {min(again):.2f} to {max(again):.2f}"
    return f"{text}.\n"


def small(measured):
    """Microseconds of small calls, and the seconds of a start."""
    start = ", ".join(
        f"{name} {1e3 * took['median']:.1f} (at least {1e3 * took['least']:.1f}) ms"
        for name, took in measured["start"].items()
    )
    text = (
        "#### Small calls\n\n`fastcka.cka(x, y)` and a few lines of NumPy take turns in one "
        "process: the median of many calls, and the least in brackets, in microseconds. In a new "
        f"process: {start}; the import follows that of NumPy.\n\n"
    )
    lines = [
        [
            f"n={row['n']}, d={row['d']}, {row['dtype']}, {row['estimator']}",
            *(_microseconds(row.get(name)) for name in ("fastcka", "numpy")),
            f"{row['numpy']['median'] / row['fastcka']['median']:.2f}" if "numpy" in row else "",
            row.get("failed", ""),
        ]
        for row in measured["rows"]
    ]
    return text + cells.rows(["", "fastcka", "NumPy", "NumPy / fastcka", ""], lines)


def _microseconds(took):
    return "" if took is None else f"{1e6 * took['median']:.0f} ({1e6 * took['least']:.0f})"


def correctness(correctness):
    text = (
        f"#### Correctness\n\nLargest error of {correctness['m']} representations of "
        f"{correctness['n']} examples (unless the column names another number) and "
        f"{correctness['d']} features, float32, against float64 of the same estimator; "
        f"marked if {WRONG:g} or more.\n\n"
    )
    lines = []
    for name, measured in correctness["contestants"].items():
        if "missing" not in measured:
            errors = [_judged(measured["errors"][kind]) for kind in correctness["kinds"]]
            lines.append([name, *errors, measured["estimator"]])
    return text + cells.rows(["", *correctness["kinds"], "estimator"], lines)


def label(axis, points):
    """The name of an axis; the threads share an n that is not that of the base."""
    return AXES[axis] if axis != "threads" else f"threads (n = {points[0]['n']})"


def _judged(value):
    if isinstance(value, str):  # NaN, or an exception
        return f"**{value.split(':')[0]}**"
    return cells.bold_if(value >= WRONG, f"{value:.0e}")
