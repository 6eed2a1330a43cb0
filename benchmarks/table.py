"""A record as Markdown; of what was measured it knows nothing but the record."""

from __future__ import annotations

MB = 1e6
#: Where a README holds the table of a record.
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
#: An error that nobody would call CKA.
WRONG = 1e-3
AXES = {"n": "examples n", "d": "features d", "m": "representations M", "threads": "threads"}


def markdown(record):
    """All tables of a record, in sections."""
    parts = [_head(record)]
    parts += [_workload(each) for each in record["workloads"].values()]
    if "growth" in record:
        parts.append(_growth(record["growth"]))
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
    found, versions = record["machine"], record["versions"]
    told = ", ".join(f"{name} {version or 'not there'}" for name, version in versions.items())
    quick = "; the quick sizes, which say little" if record["quick"] else ""
    return (
        f"{found['processor']} ({found['family']}; {', '.join(found['flags']) or 'no flags'}), "
        f"{found['cores']} cores, {found['memory_bytes'] / 1e9:.0f} GB, "
        f"{record['threads']} threads; "
        f"{told}; commit {record['commit'] or 'unknown'}; {record['finished']}{quick}.\n"
    )


def _rows(header, rows):
    align = ["---"] + ["---:"] * (len(header) - 2) + ["---"]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, align, *rows)) + "\n"


def _workload(found):
    rates = {
        name: entry["flops"] / entry["median"]
        for name, entry in found["rates"].items()
        if "median" in entry
    }
    best = max(rates.values(), default=None)
    own = found["contestants"].get("fastcka", {}).get("time")
    order = sorted(found["contestants"].items(), key=lambda item: item[1].get("time", float("inf")))
    groups = f" in each of {found['groups']} groups" if found["groups"] > 1 else ""
    text = (
        f"#### {found['title']}\n\nM={found['m']}, n={found['n']}, d={found['d']}{groups}: "
        f"{_pairs(found['pairs'])}; {found['flops'] / 1e9:.3g} Gflop on route {found['route']}, "
        f"{found['plan']['implementation']}; "
        f"{', '.join(f'{name} {value / 1e9:.0f} Gflop/s' for name, value in rates.items())}.\n\n"
    )
    many = found["groups"] > 1
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
    for name, entry in order:
        took = entry.get("time")
        cells = [
            name,
            _seconds(took),
            *[_seconds(took and took / found["groups"])] * many,
            _times(took / own) if took and own else "",
            f"{found['flops'] / took / best:.2g}" if took and best else "",
            _bytes(entry.get("extra_bytes")),
            _bytes(entry.get("peak_bytes")) if took else "",
            _error(entry["error"]) if "error" in entry else "",
            _note(entry, found),
        ]
        rows.append(cells)
    return text + _rows(header, rows)


def _note(entry, found):
    """What the figures rest on, or why there are none."""
    for reason in ("missing", "failed", "refused"):
        if reason in entry:
            return entry[reason] if reason != "failed" else f"failed: {entry['failed']}"
    if "laps" in entry:
        laps = ", ".join(f"{name} {value:.2f}" for name, value in entry["laps"].items())
        return (
            f"{laps}; with figures {entry['whole']:.2f} s; reading alone {entry['reading']:.2f} s; "
            f"{entry['other']:.0%} neither reads nor computes"
        )
    parts = []
    if entry["m"] < found["m"]:
        pairs = _pairs(entry["m"] * (entry["m"] - 1) // 2)
        parts.append(f"{entry['m']} of {found['m']} representations ({pairs})")
    if entry["groups"] < found["groups"]:
        parts.append(f"{entry['groups']} of {found['groups']} groups")
    return f"extrapolated from {' and '.join(parts)}" if parts else ""


def _growth(found):
    base = ", ".join(f"{AXES[name]} = {value}" for name, value in found["base"].items())
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
        for axis, points in found["axes"].items()
        for point in points
    ]
    return text + _rows(header, rows)


def _correctness(found):
    text = (
        f"#### Correctness\n\nLargest error of {found['m']} representations of {found['n']} "
        f"examples (where not said otherwise) and {found['d']} features, float32, against float64 "
        f"of the same estimator; bold from {WRONG:g} on.\n\n"
    )
    rows = []
    for name, entry in found["contestants"].items():
        if "missing" in entry:
            rows.append([name, *[""] * len(found["kinds"]), entry["missing"]])
        else:
            errors = [_judged(entry["errors"][kind]) for kind in found["kinds"]]
            rows.append([name, *errors, entry["estimator"]])
    return text + _rows(["", *found["kinds"], "estimator"], rows)


def _entries(record):
    rows = []
    for name, entry in record["entries"].items():
        held = [each["contestants"].get(name, {}) for each in record["workloads"].values()]
        version = next((one["version"] for one in held if "version" in one), "")
        missing = record["missing"].get(entry["package"], "")
        rows.append([name, version, f"`{entry['entry']}`", missing or entry["estimator"]])
    header = ["", "version", "what is called", "estimator"]
    return f"#### Contestants\n\n{_rows(header, rows)}"


def label(axis, points):
    """What grows; beside the threads, the shape that they share, which is not the base."""
    return AXES[axis] if axis != "threads" else f"threads (n = {points[0]['n']})"


def _seconds(value):
    return "" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _pairs(count):
    return f"{count:,} pair{'s' * (count != 1)}"


def _times(value):
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}"


def _bytes(value):
    return "" if value is None else f"{value / MB:,.0f}"


def _error(value):
    return value if isinstance(value, str) else f"{value:.0e}"


def _judged(value):
    if isinstance(value, str):  # NaN, or what was raised
        return f"**{value.split(':')[0]}**"
    return f"**{value:.0e}**" if value >= WRONG else f"{value:.0e}"
