"""Compare a record with an earlier one, line by line."""

from __future__ import annotations

from benchmarks.process import ROOT

#: The first record of a GPU, with which new ones are compared.
FIRST = ROOT / "benchmarks" / "records" / "nvidia-h100-80gb-hbm3-2026-11-28-d2756557f5.json"


def differences(before, after):
    """Lines of text: each measurement of two records, its time, rate and error in both."""
    earlier, later = figures(before), figures(after)
    width = max(map(len, [*earlier, *later]), default=0)
    yield f"{'':{width}}  {'before':>22}  {'now':>22}  now / before"
    for name in dict.fromkeys([*earlier, *later]):
        old, new = earlier.get(name), later.get(name)
        ratio = ""
        if old and new and old[0] and new[0] is not None:
            ratio = f"{new[0] / old[0]:.3g}"
        yield f"{name:{width}}  {_text(old):>22}  {_text(new):>22}  {ratio}".rstrip()


def figures(facts):
    """Name -> value, its unit, and the error, for everything that a record has measured."""
    collected = {}
    tests = facts.get("suite", {}).get("counts", {})
    for outcome, count in tests.items():
        collected[f"tests {outcome}"] = count, "", None
    benchmarks = facts.get("benchmarks", {})
    rates = benchmarks.get("rates", {}).get("device", {})
    for name, value in rates.items():
        if isinstance(value, int | float):
            unit = "s" if name.endswith("seconds") and "bytes" not in name else "B/s"
            collected[f"rate {name}"] = value, unit, None
    parts = {name: part for name, part in benchmarks.items() if name != "rates"}
    parts |= {
        name: facts.get(name, {})
        for name in ("chains", "calls", "copies", "store", "sweep", "groups")
    }
    for part, measurements in parts.items():
        for name, measured in measurements.items():
            if isinstance(measured, dict) and "median" in measured:
                collected[f"{part}: {name}"] = measured["median"], "s", _error(measured)
            if isinstance(measured, dict) and "bytes_per_second" in measured:
                rate = measured["bytes_per_second"], "B/s", None
                collected[f"{part}: {name}, rate"] = rate
    return collected


def _error(measured):
    """The largest error of CKA, or None if it was not measured."""
    if "error" in measured:
        return measured["error"]
    errors = measured.get("errors") or {}
    errors = [abs(errors[name]) for name in ("biased", "unbiased") if name in errors]
    return max(errors, default=None)


def _text(figure):
    if figure is None:
        return "not measured"
    value, unit, error = figure
    if value is None:
        return "not measured"
    if unit == "s":
        shown = f"{1e3 * value:.4g} ms"
    elif unit == "B/s":
        shown = f"{value / 1e9:.4g} GB/s"
    else:
        shown = f"{value:g}"
    return shown if error is None else f"{shown} ({error:.0e})"
