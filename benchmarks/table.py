"""The tables of a record, in Markdown."""

from __future__ import annotations

from benchmarks.cells import rows
from benchmarks.part_tables import correctness, growth, precisions, small
from benchmarks.race_table import LEGEND, race

#: The markers around the tables in a README.
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def markdown(record, *, with_left_out=True):
    """All tables of a record, in sections; and which packages are missing, unless already named."""
    workloads = record["workloads"]
    parts = [_head(record)]
    if with_left_out:
        parts += [f"{line}\n" for line in left_out(record["missing"])]
    if workloads:
        parts.append(LEGEND.format(limit=record["limit"]))
    parts += [race(each) for each in workloads.values()]
    parts += [precisions(workloads)] * any("implementations" in each for each in workloads.values())
    parts += [write(record[name]) for name, write in PARTS.items() if name in record]
    parts.append(_entries(record))
    return "\n".join(parts)


#: Part that is not a workload -> its table.
PARTS = {"growth": growth, "small": small, "correctness": correctness}


def placed(text, tables):
    """A README's text with the tables between its two markers; `ValueError` if it lacks them."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"expected {BEGIN} and then {END}, each once")
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    return f"{before}{BEGIN}\n\n{tables}\n{after}"


def left_out(missing):
    """A line for each reason why packages take no part."""
    packages = {}
    for package, reason in missing.items():
        packages.setdefault(reason, []).append(package)
    return [f"Left out: {', '.join(names)} ({reason})." for reason, names in packages.items()]


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
        + _stopped(record.get("stopped"))
        + "".join(
            f"\nThe part {part} is left out: {reason}.\n"
            for part, reason in record.get("skipped", {}).items()
        )
    )


def _stopped(stopped):
    """What a run that was stopped lacks."""
    if not stopped:
        return ""
    by = "at the end of its time" if stopped["by"] == "time" else f"by {stopped['by']}"
    unfinished = f"; unfinished: {stopped['in']}" if stopped["in"] else ""
    left = f"; not begun: {', '.join(stopped['left'])}" if stopped["left"] else ""
    return f"\nThis run was stopped {by}{unfinished}{left}.\n"


def _entries(record):
    lines = []
    for name, entry in record["entries"].items():
        if entry["package"] in record["missing"]:
            continue
        measured = [each["contestants"].get(name, {}) for each in record["workloads"].values()]
        version = next((each["version"] for each in measured if "version" in each), "")
        lines.append([name, version, f"`{entry['entry']}`", entry["estimator"]])
    header = ["", "version", "what is called", "estimator"]
    return f"#### Contestants\n\n{rows(header, lines)}"
