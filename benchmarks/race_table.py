"""The table of a workload's contestants."""

from __future__ import annotations

from benchmarks import cells

LEGEND = (
    "M is the number of representations, n that of examples, d that of features. **s** is the "
    "median time for all pairs; **× fastcka** is this time divided by that of fastcka. "
    "**extra MB** is how far the memory rises during the first call, **peak MB** its highest "
    "total. **error** is the largest deviation from float64. A contestant is extrapolated from "
    "a part if all pairs would need more than {limit:g} s, or too much memory.\n"
)
#: Why a contestant has no time.
NO_TIME = ("failed", "refused")
#: What a route multiplies.
ROUTES = {
    "F": "Route F multiplies the features of each pair of representations (X'Y)",
    "G": "Route G computes the n x n Gram matrix (XX') of each representation, in tiles, and "
    "multiplies these matrices pair by pair",
}


def race(workload):
    """The section of a workload: its facts, and a row for each contestant, the fastest first."""
    rates = {
        name: measured["flops"] / measured["median"]
        for name, measured in workload["rates"].items()
        if "median" in measured
    }
    best = max(rates.values(), default=None)
    fastcka = _took(workload["contestants"].get("fastcka", {}))
    order = sorted(
        ((name, measured) for name, measured in workload["contestants"].items() if measured),
        key=lambda item: _took(item[1]) or float("inf"),
    )
    many = workload["groups"] > 1
    header = ["", "s", *["s a group"] * many, "× fastcka", "of sgemm"]
    header += ["extra MB", "peak MB", "error", ""]
    lines = []
    for name, measured in order:
        if "missing" in measured:
            continue  # named once, above all tables
        took = _took(measured)
        line = [
            name,
            cells.seconds(took),
            *[cells.seconds(took and took / workload["groups"])] * many,
            cells.times(took / fastcka) if took and fastcka else "",
            f"{workload['flops'] / took / best:.2g}" if took and best else "",
            cells.megabytes(measured.get("extra_bytes")),
            cells.megabytes(measured.get("peak_bytes")) if took else "",
            cells.error(measured["error"]) if "error" in measured else "",
            _note(measured, workload),
        ]
        lines.append(line)
    return _caption(workload, rates) + cells.rows(header, lines)


def _caption(workload, rates):
    """The shape, what the route does, and what "of sgemm" means, with the numbers of the table."""
    groups = f" in each of {workload['groups']} groups" if workload["groups"] > 1 else ""
    gflop = f"{workload['flops'] / 1e9:,.3g}"
    text = (
        f"#### {workload['title']}\n\n"
        f"M={workload['m']}, n={workload['n']}, d={workload['d']}{groups}: "
        f"{cells.pairs(workload['pairs'])}, on {workload['plan']['implementation']}. "
        f"{ROUTES[workload['route']]}: {gflop} Gflop."
    )
    if rates:
        speeds = " and ".join(f"{value / 1e9:.0f} {name[6:]}" for name, value in rates.items())
        text += (
            f" The column **of sgemm** is the time that sgemm, a plain float32 product, needs for "
            f"{gflop} Gflop, divided by s; above 1 is faster than sgemm. In this run, sgemm "
            f"reaches {speeds} (Gflop/s){', and the faster one counts' * (len(rates) > 1)}."
        )
    return text + "\n\n"


def _took(measured):
    """Seconds for all pairs: the median, or the first call of a run that was stopped early."""
    if "time" in measured or any(reason in measured for reason in NO_TIME):
        return measured.get("time")
    return measured["first_seconds"] * measured["factor"] if "first_seconds" in measured else None


def _note(measured, workload):
    """How the figures were measured, or why there are none."""
    for reason in NO_TIME:
        if reason in measured:
            return measured[reason] if reason != "failed" else f"failed: {measured['failed']}"
    if "laps" in measured:
        laps = ", ".join(f"{name} {value:.2f}" for name, value in measured["laps"].items())
        return (
            f"{laps}; with figures {measured['whole']:.2f} s; "
            f"reading alone {measured['reading']:.2f} s; "
            f"{measured['other']:.0%} neither reads nor computes"
        )
    parts = []
    if measured["m"] < workload["m"]:
        pairs = cells.pairs(measured["m"] * (measured["m"] - 1) // 2)
        parts.append(f"{measured['m']} of {workload['m']} representations ({pairs})")
    if measured["groups"] < workload["groups"]:
        parts.append(f"{measured['groups']} of {workload['groups']} groups")
    notes = ["first call only"] if "time" not in measured else []
    if parts:
        memory = ": the whole needs too much memory" if measured.get("because") == "memory" else ""
        notes.append(f"extrapolated from {' and '.join(parts)}{memory}")
    return "; ".join(notes)
