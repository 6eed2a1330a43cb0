"""The tables of a record, in Markdown."""

from __future__ import annotations

MB = 1e6
#: The markers around the tables in a README.
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
#: Errors from here on are bold.
WRONG = 1e-3
AXES = {"n": "examples n", "d": "features d", "m": "representations M", "threads": "threads"}


def markdown(record):
    """All tables of a record, in sections."""
    parts = [_head(record)]
    parts += [_workload(each) for each in record["workloads"].values()]
    if "growth" in record:
        parts.append(_growth(record["growth"]))
    if "small" in record:
        parts.append(_small(record["small"]))
    if "correctness" in record:
        parts.append(_correctness(record["correctness"]))
    parts.append(_entries(record))
    return "\n".join(parts)


def placed(text, tables):
    """A README's text with the tables between its two markers; `ValueError` if it lacks them."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"expected {BEGIN} and then {END}, each once")
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    return f"{before}{BEGIN}\n\n{tables}\n{after}"


def _head(record):
    machine = record["machine"]
    versions = ", ".join(
        f"{name} {version or 'not installed'}" for name, version in record["versions"].items()
    )
    quick = "; small sizes, not for quoting" if record["quick"] else ""
    return (
        f"{machine['processor']} "
        f"({machine['family']}; {', '.join(machine['flags']) or 'no flags'}), "
        f"{machine['cores']} cores, {machine['memory_bytes'] / 1e9:.0f} GB, "
        f"{record['threads']} threads; "
        f"{versions}; commit {record['commit'] or 'unknown'}; {record['finished']}{quick}.\n"
    )


def _rows(header, rows):
    align = ["---"] + ["---:"] * (len(header) - 2) + ["---"]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, align, *rows)) + "\n"


def _workload(workload):
    rates = {
        name: measured["flops"] / measured["median"]
        for name, measured in workload["rates"].items()
        if "median" in measured
    }
    best = max(rates.values(), default=None)
    fastcka = workload["contestants"].get("fastcka", {}).get("time")
    order = sorted(
        workload["contestants"].items(), key=lambda item: item[1].get("time", float("inf"))
    )
    groups = f" in each of {workload['groups']} groups" if workload["groups"] > 1 else ""
    text = (
        f"#### {workload['title']}\n\n"
        f"M={workload['m']}, n={workload['n']}, d={workload['d']}{groups}: "
        f"{_pairs(workload['pairs'])}; {workload['flops'] / 1e9:.3g} Gflop "
        f"on route {workload['route']}, {workload['plan']['implementation']}; "
        f"{', '.join(f'{name} {value / 1e9:.0f} Gflop/s' for name, value in rates.items())}.\n\n"
    )
    many = workload["groups"] > 1
    header = [
        "",
        "s",
        *["s a group"] * many,
        "× fastcka",
        "of sgemm",
        "extra MB",
        "peak MB",
        "error",
        "",
    ]
    rows = []
    for name, measured in order:
        took = measured.get("time")
        cells = [
            name,
            _seconds(took),
            *[_seconds(took and took / workload["groups"])] * many,
            _times(took / fastcka) if took and fastcka else "",
            f"{workload['flops'] / took / best:.2g}" if took and best else "",
            _bytes(measured.get("extra_bytes")),
            _bytes(measured.get("peak_bytes")) if took else "",
            _error(measured["error"]) if "error" in measured else "",
            _note(measured, workload),
        ]
        rows.append(cells)
    return text + _rows(header, rows)


def _note(measured, workload):
    """How the figures were measured, or why there are none."""
    for reason in ("missing", "failed", "refused"):
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
        pairs = _pairs(measured["m"] * (measured["m"] - 1) // 2)
        parts.append(f"{measured['m']} of {workload['m']} representations ({pairs})")
    if measured["groups"] < workload["groups"]:
        parts.append(f"{measured['groups']} of {workload['groups']} groups")
    return f"extrapolated from {' and '.join(parts)}" if parts else ""


def _growth(growth):
    base = ", ".join(f"{AXES[name]} = {value}" for name, value in growth["base"].items())
    text = f"#### Growth\n\nOne extent at a time, from {base}.\n\n"
    text += "![Measured and predicted seconds as each grows](growth.png)\n\n"
    header = ["", "value", "route", "measured s", "predicted s", "measured / predicted", ""]
    rows = [
        [
            label(axis, points),
            f"{point['value']:,}",
            point["route"],
            _seconds(point.get("median")),
            _seconds(point["predicted"]),
            f"{point['ratio']:.2f}" if "ratio" in point else "",
            point.get("failed", ""),
        ]
        for axis, points in growth["axes"].items()
        for point in points
    ]
    return text + _rows(header, rows)


def _small(small):
    start = ", ".join(
        f"{name} {1e3 * took['median']:.1f} (at least {1e3 * took['least']:.1f}) ms"
        for name, took in small["start"].items()
    )
    text = (
        "#### Small calls\n\n`fastcka.cka(x, y)` and a few lines of NumPy in one process, which "
        "take turns: the median of many calls, and the least in brackets, in microseconds. In a "
        f"new process: {start}; the import is that after NumPy.\n\n"
    )
    rows = [
        [
            f"n={row['n']}, d={row['d']}, {row['dtype']}, {row['estimator']}",
            *[_microseconds(row.get(name)) for name in ("fastcka", "numpy")],
            f"{row['numpy']['median'] / row['fastcka']['median']:.2f}" if "numpy" in row else "",
            row.get("failed", ""),
        ]
        for row in small["rows"]
    ]
    return text + _rows(["", "fastcka", "NumPy", "NumPy / fastcka", ""], rows)


def _correctness(correctness):
    text = (
        f"#### Correctness\n\nLargest error of {correctness['m']} representations of "
        f"{correctness['n']} examples (unless the column names another number) and "
        f"{correctness['d']} features, float32, against float64 of the same estimator; "
        f"bold if {WRONG:g} or more.\n\n"
    )
    rows = []
    for name, measured in correctness["contestants"].items():
        if "missing" in measured:
            rows.append([name, *[""] * len(correctness["kinds"]), measured["missing"]])
        else:
            errors = [_judged(measured["errors"][kind]) for kind in correctness["kinds"]]
            rows.append([name, *errors, measured["estimator"]])
    return text + _rows(["", *correctness["kinds"], "estimator"], rows)


def _entries(record):
    rows = []
    for name, entry in record["entries"].items():
        measured = [each["contestants"].get(name, {}) for each in record["workloads"].values()]
        version = next((each["version"] for each in measured if "version" in each), "")
        missing = record["missing"].get(entry["package"], "")
        rows.append([name, version, f"`{entry['entry']}`", missing or entry["estimator"]])
    header = ["", "version", "what is called", "estimator"]
    return f"#### Contestants\n\n{_rows(header, rows)}"


def label(axis, points):
    """The name of an axis; the threads share an n that is not that of the base."""
    return AXES[axis] if axis != "threads" else f"threads (n = {points[0]['n']})"


def _seconds(value):
    return "" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _microseconds(took):
    return "" if took is None else f"{1e6 * took['median']:.0f} ({1e6 * took['least']:.0f})"


def _pairs(count):
    return f"{count:,} pair{'s' * (count != 1)}"


def _times(value):
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}"


def _bytes(value):
    return "" if value is None else f"{value / MB:,.0f}"


def _error(value):
    return value if isinstance(value, str) else f"{value:.0e}"


def _judged(value):
    if isinstance(value, str):  # NaN, or an exception
        return f"**{value.split(':')[0]}**"
    return f"**{value:.0e}**" if value >= WRONG else f"{value:.0e}"
