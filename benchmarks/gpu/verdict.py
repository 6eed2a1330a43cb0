"""Whether a record meets the criteria that the pass on the GPU was built for."""

from __future__ import annotations

from benchmarks.workloads import GPU

SLOWER_THAN_PREDICTED = 1.5
FASTER_THAN_LOOP = 10
#: Largest errors of CKA on these data (Gaussian, n of 2000 and more), by products.
LIMITS = {"float32": 5e-6, "float16x3": 5e-6, "float16": 1e-6, "float64": 1e-10}

PASS, FAIL, NOT_MEASURED = "pass", "fail", "not measured"


def verdict(facts):
    """Lines of {"criterion", "result", "figure"} for a record; without a figure: not measured."""
    benchmarks = facts.get("benchmarks", {})
    return [
        _tests(facts.get("suite", {})),
        *(_sanitizer(tool, facts.get("sanitizer", {})) for tool in ("memcheck", "racecheck")),
        *(_prediction(name, benchmarks.get(name, {})) for name in GPU),
        *(_loop(name, benchmarks.get(name, {})) for name in ("A", "C")),
        *(_errors(name, benchmarks.get(name, {})) for name in GPU),
    ]


def text(line):
    return f"{line['result'].upper():12} {line['criterion']}: {line['figure']}"


def _line(criterion, holds, figure):
    result = NOT_MEASURED if holds is None else PASS if holds else FAIL
    return {"criterion": criterion, "result": result, "figure": figure}


def _why(measured):
    """Why a part has no figures."""
    for word in ("failed", "skipped", "stopped"):
        if word in measured:
            return f"{word}: {measured[word]}"
    return "not run"


def _tests(tests):
    criterion = "the test suite passes on the GPU"
    counts = tests.get("counts")
    if not counts:
        return _line(criterion, None, _why(tests))
    figure = ", ".join(f"{count} {name}" for name, count in counts.items())
    bad = counts.get("failed", 0) + counts.get("error", 0)
    if "stopped" in tests:
        return _line(criterion, False if bad else None, f"{figure}; {_why(tests)}")
    return _line(criterion, not bad and counts.get("passed", 0) > 0, figure)


def _sanitizer(tool, sanitizer):
    criterion = f"compute-sanitizer {tool} finds nothing in a small workload"
    measured = sanitizer.get(tool, sanitizer)
    if measured.get("errors") is None:
        return _line(criterion, None, _why(measured))
    clean = measured["errors"] == 0 and measured["exit"] == 0
    return _line(criterion, clean, f"{measured['errors']} errors, exit {measured['exit']}")


def _prediction(name, contestants):
    criterion = f"workload {name}, data on the GPU, 'high': at most 1.5 times the prediction"
    measured = contestants.get("pass float16x3", {})
    times = measured.get("times_predicted")
    if times is None:
        return _line(criterion, None, _why(measured))
    figure = (
        f"{1e3 * measured['median']:.3g} ms, {times:.2f} times the prediction of "
        f"{1e3 * measured['predicted_seconds']:.3g} ms; "
        f"{measured['share_of_cublas']:.0%} of cuBLAS' rate at its shapes"
    )
    call = contestants.get("call high", {})
    if "median" in call:
        figure += f"; the whole call {1e3 * call['median']:.3g} ms"
    return _line(criterion, times <= SLOWER_THAN_PREDICTED, figure)


def _loop(name, contestants):
    criterion = f"workload {name}: at least 10 times as fast as a torch loop over pairs"
    call, loop = contestants.get("call high", {}), contestants.get("torch pair loop", {})
    for measured in (call, loop):
        if "median" not in measured:
            return _line(criterion, None, _why(measured))
    times = loop["median"] / call["median"]
    figure = f"{times:.1f} times ({1e3 * loop['median']:.4g} ms"
    if loop["extrapolated"]:
        figure += f", extrapolated from {loop['pairs_timed']} of {loop['pairs']} pairs"
    figure += ")"
    others = {
        other: measured["median"] / call["median"]
        for other, measured in contestants.items()
        if other.startswith("torch") and other != "torch pair loop" and "median" in measured
    }
    figure += "".join(f"; {other} {ratio:.1f} times" for other, ratio in others.items())
    return _line(criterion, times >= FASTER_THAN_LOOP, figure)


def _errors(name, contestants):
    criterion = f"workload {name}: errors of CKA against float64"
    largest = {
        products: max(measured["errors"]["biased"], measured["errors"]["unbiased"])
        for products in LIMITS
        if "errors" in (measured := contestants.get(f"pass {products}", {}))
    }
    if not largest:
        return _line(criterion, None, _why(contestants.get("pass float16x3", contestants)))
    figure = ", ".join(
        f"{products} {error:.1e} (limit {LIMITS[products]:.0e})"
        for products, error in largest.items()
    )
    holds = all(error <= LIMITS[products] for products, error in largest.items())
    missing = [products for products in LIMITS if products not in largest]
    if holds and missing:
        return _line(criterion, None, f"{figure}; without {', '.join(missing)}")
    return _line(criterion, holds, figure)
